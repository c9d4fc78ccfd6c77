"""Features of videos, computed once and kept in memory or in a folder."""

import hashlib
import os
import warnings
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lib.data.videos import Video
from lib.files import written_whole
from lib.reducers import Reducer
from lib.vlm.model import VideoLM

FEATURE_FILES = "features-*"  # what Features may delete in its folder: nothing else


@dataclass(eq=False)
class Features:
    """Video -> features (T, h, w, C) on the CPU: computed once by the vision tower, then read from a cache.

    The cache is in memory or, with a folder, in files that outlive the session: one safetensors file for each video.
    Its key has three parts: the video, the number of frames, and the weights of the vision tower. A file counts by its
    path, size and time of change. The cache holds at most `max_bytes` and drops the least recently used first. A clip
    of 16 frames takes 393 kB for tiny and 19 MB for the 7B in float16. Give the cache room for all videos of an epoch:
    otherwise the next epoch finds nothing in it.

    dtype: None stores what the tower computed (float32 on a CPU, float16 or bfloat16 on a GPU), so losses do not
    change. torch.float16 takes half of float32 and rounds each number by up to one part in 2,000.

    Only for a frozen tower. Raises ValueError if not even one video fits into max_bytes.

    >>> from lib.data.videos import toybox_videos
    >>> from lib import vlm
    >>> features, video = Features(vlm.load("tiny"), frames=4), toybox_videos([7])[0]
    >>> features(video).shape, features(video) is features(video), features.encoded
    (torch.Size([4, 8, 8, 96]), True, 1)
    """

    vlm: VideoLM
    frames: int
    folder: str | os.PathLike | None = None
    max_bytes: int = 2**30
    dtype: torch.dtype | None = None
    reducer: Reducer | None = None  # if given, its `split` is applied to each frame before storing
    rule: str = "llava_next"  # of `sample_uniform`
    encoded: int = field(default=0, init=False)  # how many videos the tower encoded
    memory: OrderedDict[str, Tensor] = field(default_factory=OrderedDict, init=False, repr=False)

    def __call__(self, video: Video) -> Tensor:
        key = self.key(video)
        features = self.recall(key) if self.folder is None else self.read(key)
        if features is None:
            features = self.encode(video.frames(self.frames, self.rule))
            (self.remember if self.folder is None else self.write)(key, features)
        return features

    def encode(self, frames: np.ndarray) -> Tensor:
        """Frames (T, H, W, 3) -> the features to store."""
        self.encoded += 1
        features = self.vlm.encode(frames)
        return (self.reducer.split()[0](features) if self.reducer else features).to("cpu", self.dtype).contiguous()

    @cached_property
    def way(self) -> bytes:
        """A digest of everything besides the video that the features depend on."""
        config = self.vlm.model.config
        layer = (config.vision_feature_layer, config.vision_feature_select_strategy)
        first = self.reducer and getattr(self.reducer.split()[0], "keywords", None)
        settings = (self.frames, self.rule, self.dtype, self.vlm.pixels, layer, first)
        digest = hashlib.sha256(repr(settings).encode())
        for name, weights in self.vlm.model.model.vision_tower.state_dict().items():
            digest.update(name.encode() + weights.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.digest()

    def key(self, video: Video) -> str:
        """The name under which a video's features are kept."""
        seen = repr(video.clip)
        if video.path is not None:
            stat = os.stat(video.path)
            seen = repr((os.path.realpath(video.path), stat.st_size, stat.st_mtime_ns))
        return hashlib.sha256(self.way + seen.encode("utf-8", "surrogateescape")).hexdigest()

    def recall(self, key: str) -> Tensor | None:
        if key in self.memory:
            self.memory.move_to_end(key)
        return self.memory.get(key)

    def remember(self, key: str, features: Tensor) -> None:
        self.check_size(features.nbytes)
        self.memory[key] = features
        while sum(kept.nbytes for kept in self.memory.values()) > self.max_bytes:
            self.memory.popitem(last=False)

    def path(self, key: str) -> Path:
        return Path(self.folder) / f"features-{key}.safetensors"

    def read(self, key: str) -> Tensor | None:
        """The features in the folder; None if there are none or (with a warning) if the file is damaged."""
        try:
            features = load(self.path(key).read_bytes())["features"]
            os.utime(self.path(key))  # used just now
        except FileNotFoundError:
            return None
        except SafetensorError:
            warnings.warn(f"{self.path(key)} is damaged, perhaps cut off: it is made again", stacklevel=3)
            return None
        return features

    def write(self, key: str, features: Tensor) -> None:
        """Writes a temporary file, then renames it, so that no process reads half a file; then deletes the oldest."""
        data = save({"features": features.contiguous()})
        self.check_size(len(data))
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.path(key)) as beside:
            beside.write_bytes(data)
        delete_oldest(Path(self.folder), self.max_bytes)

    def check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise ValueError(
                f"the features of one video take {size:,} bytes, the cache may hold {self.max_bytes:,}: "
                "give it more max_bytes, or look at fewer frames"
            )


def delete_oldest(folder: Path, max_bytes: int) -> None:
    """Deletes feature files, and pieces that were never finished, the longest unused first, until the rest fits."""
    kept = []
    for path in [*folder.glob(FEATURE_FILES), *folder.glob(f".{FEATURE_FILES}.part")]:
        with suppress(FileNotFoundError):  # another process may delete as well
            stat = path.stat()
            kept.append((stat.st_mtime_ns, stat.st_size, path))
    too_much = sum(size for _, size, _ in kept) - max_bytes
    for _, size, path in sorted(kept):
        if too_much <= 0:
            break
        path.unlink(missing_ok=True)
        too_much -= size
