"""From frames to pixel values: resize, crop, normalise, as transformers' video processor does."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FrameArray = np.ndarray | Tensor  # (T, H, W, 3) uint8
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class PixelSettings:
    """How frames become pixel values, as in a model's video_preprocessor_config.json."""

    size: int  # pixels on a side
    crop: bool  # True: resize the shortest side, cut out the centre. False: squash to a square
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def resize(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size) uint8. Bicubic with antialiasing, the same call as torchvision's.

        >>> frame = np.tile(np.uint8([[[0], [100], [200], [250]]]), (2, 1, 3))
        >>> PixelSettings(size=2, crop=True).resize(frame[None])[0, 0, 0].tolist()
        [100, 200]
        """
        height, width = frames.shape[1:3]
        short = min(height, width)
        shape = (self.size * height // short, self.size * width // short) if self.crop else (self.size, self.size)
        top, left = (shape[0] - self.size) // 2, (shape[1] - self.size) // 2
        frames = np.require(frames, requirements=["C", "W"])  # torch accepts neither a reversed nor a read-only array
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)
        video = F.interpolate(video, size=shape, mode="bicubic", antialias=True)
        return video[:, :, top : top + self.size, left : left + self.size]

    def normalise(self, video: Tensor) -> Tensor:
        """(T, 3, size, size) uint8 -> float32, near zero mean and unit deviation."""
        return (video / 255 - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


def checked_frames(frames: FrameArray) -> np.ndarray:
    """Returns the frames as an array. Raises ValueError unless they are (T, H, W, 3) uint8 with T of 1 or more.

    >>> checked_frames(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)).shape
    (2, 8, 8, 3)
    """
    found = f"{frames.dtype} {tuple(frames.shape)}" if isinstance(frames, FrameArray) else type(frames).__name__
    if isinstance(frames, Tensor) and frames.dtype == torch.uint8:
        frames = frames.numpy(force=True)
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be a uint8 array (T, H, W, 3), not {found}: pass read_frames(...).pixels")
    if 0 in frames.shape:
        raise ValueError(f"frames of shape {frames.shape} hold no pixels: read at least one frame")
    return frames
