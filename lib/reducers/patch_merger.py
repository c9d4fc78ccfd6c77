"""Qwen2.5-VL and InternVL: neighbouring patches are concatenated, and the projector reads them at once.

Official code: `Qwen2_5_VLPatchMerger` and `InternVLModel.pixel_shuffle` of transformers. Both write the four patches of
a 2 x 2 window in the order of reading: top left, top right, bottom left, bottom right. Then they differ: Qwen
normalises each patch before concatenation, InternVL the four together. Both project by an MLP that is four patches
wide; that MLP is `project` here. Qwen also reads two *frames* at once, in the first layer of its vision tower
(`Qwen2_5_VisionPatchEmbed`, temporal_patch_size=2); `frames=2` does the same to features, after the tower.
"""

from torch import Tensor

from lib.reducers.base import Project, Reducer, VisualTokens, check_sizes, identity, origin, patch_layout
from lib.reducers.spatial_pool import spans


class PatchMerger(Reducer):
    """One token for `side` x `side` patches of `frames` frames.

    shared: False writes the n = frames * side * side patches side by side, n * C numbers, for a projector that was
        trained on them. True is for a model without one: the token is the projected *mean* of the patches. (An MLP
        whose first layer holds the old weights n times, each divided by n, computes exactly that; a test compares the
        two.)

    Rows and columns that `side` does not divide are left out, as in `SpatialPool`. InternVL raises an error there, and
    Qwen resizes each frame to multiples of 28 pixels first. If `frames` does not divide the number of frames, the last
    frame is repeated, as in Qwen's processor. A token's `frame` is the first of the frames that it summarises.

    Raises ValueError for a side or a number of frames below 1, no frame, or a grid smaller than `side`.

    >>> import torch
    >>> merger = PatchMerger(side=2, frames=2)
    >>> tokens = merger(torch.randn(7, 8, 8, 96))
    >>> tokens.embeds.shape, merger.count(7, 8, 8), tokens.frame[::16].tolist()      # 4 pairs of 4 x 4; 8 * 96 numbers
    (torch.Size([64, 768]), 64, [0, 2, 4, 6])
    >>> PatchMerger(2, shared=True)(torch.randn(7, 8, 8, 96)).embeds.shape
    torch.Size([112, 96])
    """

    def __init__(self, side: int = 2, frames: int = 1, shared: bool = False):
        super().__init__()
        if min(side, frames) < 1:
            raise ValueError(f"side={side}, frames={frames}: merge at least 1 patch of at least 1 frame")
        self.side, self.frames, self.shared = side, frames, shared

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        self.check(features, question)
        rows, cols = (spans(size, self.side, "average") for size in features.shape[1:3])
        merged = merge_neighbours(features, self.side, self.frames)  # (t, h, w, n, C)
        tokens = project(merged.mean(dim=3) if self.shared else merged.flatten(3))
        firsts = range(0, len(features), self.frames)
        layout = patch_layout(rows, cols).flatten(0, 1)
        return VisualTokens(tokens.flatten(0, 2), *origin(firsts, [layout] * len(firsts), features.device))

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        return (
            -(-frames // self.frames)
            * len(spans(height, self.side, "average"))
            * len(spans(width, self.side, "average"))
        )


def merge_neighbours(features: Tensor, side: int, frames: int = 1) -> Tensor:
    """(T, H, W, C) -> (t, h, w, n, C): the n patches of each window, frame after frame, each in the order of reading.

    >>> import torch
    >>> merge_neighbours(torch.arange(16.0).reshape(1, 4, 4, 1), side=2)[0, 0, :, :, 0].tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    height, width = (size // side * side for size in features.shape[1:3])
    repeats = [*range(len(features)), *[len(features) - 1] * (-len(features) % frames)]
    windows = (
        features[repeats, :height, :width].unflatten(0, (-1, frames)).unflatten(2, (-1, side)).unflatten(4, (-1, side))
    )
    return windows.permute(0, 2, 4, 1, 3, 5, 6).flatten(3, 5)  # (t, frame, h, row, w, column, C)
