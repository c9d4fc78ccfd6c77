"""LLaVA-Video (arXiv 2410.02713, section 4 and appendix A): slow and fast frames, interleaved in time.

Official code: LLaVA-VL/LLaVA-NeXT `llava/model/llava_arch.py`, the `add_faster_video` branch. Frame t is slow if t %
slow_every == 0, each row ends in the newline, and each frame, slow or fast, ends in the frame token. In
`encode_multimodals` the official strides double from video to video of a batch and are never reset. That is a bug and
not copied: here every video has its configured strides.
"""

from functools import lru_cache

import torch
from torch import Tensor

from lib.reducers.base import (
    NEWLINE,
    SEPARATOR,
    Origin,
    Project,
    Reducer,
    VisualTokens,
    check_learned,
    check_sizes,
    identity,
    origin,
    patch_layout,
)
from lib.reducers.spatial_pool import Mode, check_choice, check_pool, pool_2d, spans


class LlavaVideo(Reducer):
    """Every frame once, in time order: one frame in `slow_every` with `slow_stride`, the rest with `fast_stride`.

    The features are projected first. Pooling leaves out or rounds up as in `SpatialPool`.
    newline_embed: (D,) after every row of every frame; frame_token: (D,) after every frame. None leaves it out, for a
    model trained without it.

    Of T frames ceil(T / slow_every) are slow: the first one always is. (The paper's formula has the floor.)
    Raises ValueError for a setting out of range, a vector of the wrong width, no frame, or too small a grid.

    >>> reducer = LlavaVideo(slow_every=3, newline_embed=torch.zeros(8), frame_token=torch.ones(8))
    >>> reducer.count(1, 27, 27), reducer.count(7, 27, 27)              # 14 x 15 + 1, and 3 x 211 + 4 x 57
    (211, 861)
    >>> tokens = reducer(torch.randn(7, 27, 27, 8))
    >>> len(tokens), tokens.kind[-3:].tolist()                          # a patch, the newline, the frame token
    (861, [0, 1, 2])
    """

    def __init__(
        self,
        slow_every: int = 3,
        slow_stride: int = 2,
        fast_stride: int = 4,
        mode: Mode = "bilinear",
        newline_embed: Tensor | None = None,
        frame_token: Tensor | None = None,
    ):
        super().__init__()
        if not isinstance(slow_every, int) or slow_every < 1:
            raise ValueError(f"slow_every={slow_every!r}: give a whole number, 1 (every frame slow) or more")
        check_choice("mode", mode, ("average", "max", "bilinear"))
        check_pool(slow_stride, mode)
        check_pool(fast_stride, mode)
        self.slow_every, self.slow_stride, self.fast_stride, self.mode = slow_every, slow_stride, fast_stride, mode
        self.newline_embed, self.frame_token = newline_embed, frame_token

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        self.check(features, question)
        newline, end, strides = self.newline_embed, self.frame_token, self.strides(len(features))
        settings = self.mode, newline is not None, end is not None
        where = interleaved_origin(strides, *features.shape[1:3], *settings, features.device)
        projected = project(features)
        check_learned("newline_embed", newline, projected.shape[-1])
        check_learned("frame_token", end, projected.shape[-1])
        tokens = []
        for t, stride in enumerate(strides):
            pooled = pool_2d(projected[t : t + 1], stride, self.mode)  # of a view: picking the slow frames would copy
            tokens += video_pieces(pooled[0], newline, end)
        return VisualTokens(torch.cat(tokens), *where)

    def strides(self, frames: int) -> tuple[int, ...]:
        """The pooling stride of each frame.

        >>> LlavaVideo(slow_every=3).strides(5)
        (2, 4, 4, 2, 4)
        """
        return tuple(self.fast_stride if t % self.slow_every else self.slow_stride for t in range(frames))

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        slow = -(-frames // self.slow_every)
        groups = [(slow, self.slow_stride), (frames - slow, self.fast_stride)]
        return sum(size * self.per_frame(height, width, stride) for size, stride in groups if size)

    def per_frame(self, height: int, width: int, stride: int) -> int:
        """Tokens of one frame of height x width patches, its newlines and frame token among them."""
        rows, cols = len(spans(height, stride, self.mode)), len(spans(width, stride, self.mode))
        return rows * (cols + (self.newline_embed is not None)) + (self.frame_token is not None)


def video_pieces(grid: Tensor, newline: Tensor | None, end: Tensor | None) -> list[Tensor]:
    """(h, w, D) -> a frame's tokens as they are read: rows (w, D), `newline` (1, D) after each, `end` after the last.

    It returns pieces, because one torch.cat over all frames copies each token only once. Embeddings and layouts both
    use it, so they have the same order.

    >>> pieces = video_pieces(torch.zeros(2, 1, 1), newline=torch.ones(1), end=torch.full((1,), 2.0))
    >>> torch.cat(pieces).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0, 2.0]
    """
    between = [] if newline is None else [newline[None].to(grid)]
    after = [] if end is None else [end[None].to(grid)]
    return [piece for row in grid for piece in (row, *between)] + after


@lru_cache(maxsize=16)
def interleaved_origin(
    strides: tuple[int, ...], height: int, width: int, mode: Mode, newline: bool, end: bool, device: torch.device
) -> Origin:
    """Computed once for clips of one size."""
    layouts = {}
    for stride in set(strides):
        grid = patch_layout(spans(height, stride, mode), spans(width, stride, mode))
        layouts[stride] = torch.cat(video_pieces(grid, NEWLINE if newline else None, SEPARATOR if end else None))
    return origin(range(len(strides)), [layouts[stride] for stride in strides], device)
