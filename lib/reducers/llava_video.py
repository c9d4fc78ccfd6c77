"""LLaVA-Video (arXiv 2410.02713, section 4 and appendix A): slow and fast frames, interleaved in time.

Official code: LLaVA-VL/LLaVA-NeXT `llava/model/llava_arch.py`, the `add_faster_video` branch: frame t is slow where
t % slow_every == 0, each row ends in the newline, and each frame, slow or fast, ends in the frame token. In
`encode_multimodals` the official strides double from video to video of a batch and are never reset: a bug, not
copied; here every video has the strides it is configured with.
"""

from torch import Tensor

from lib.reducers.base import (
    Kind,
    Project,
    Reducer,
    VisualTokens,
    append_learned,
    check_sizes,
    grid_tokens,
    identity,
)
from lib.reducers.spatial_pool import Mode, check_choice, check_pool, pool_2d, spans


class LlavaVideo(Reducer):
    """Every frame once, in time order: one frame in `slow_every` with `slow_stride`, the rest with `fast_stride`.

    The features are projected first. Pooling leaves out or rounds up as in `SpatialPool`.
    newline_embed: (D,) after every row of every frame; frame_token: (D,) after every frame. None leaves it out, for a
        model that was never trained with it.

    Of T frames ceil(T / slow_every) are slow: the first one always is. (The paper's formula has the floor.)
    Raises ValueError for a setting out of range, a vector of the wrong width, no frame, or too small a grid.

    >>> import torch
    >>> reducer = LlavaVideo(slow_every=3, newline_embed=torch.zeros(8), frame_token=torch.ones(8))
    >>> reducer.count(1, 27, 27), reducer.count(7, 27, 27)              # 14 x 15 + 1, and 3 x 211 + 4 x 57
    (211, 861)
    >>> tokens = reducer(torch.randn(7, 27, 27, 8))
    >>> len(tokens), tokens.kind[-2:].tolist() == [Kind.NEWLINE, Kind.SEPARATOR]
    (861, True)
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
        frames = range(len(features))
        projected = project(features)
        slow = iter(self.pathway(projected, [t for t in frames if t % self.slow_every == 0], self.slow_stride))
        fast = iter(self.pathway(projected, [t for t in frames if t % self.slow_every != 0], self.fast_stride))
        return VisualTokens.cat([next(slow if t % self.slow_every == 0 else fast) for t in frames])

    def pathway(self, projected: Tensor, frames: list[int], stride: int) -> list[VisualTokens]:
        """The tokens of the given frames of (T, H, W, D), one VisualTokens per frame."""
        if not frames:
            return []
        rows, cols = (spans(side, stride, self.mode) for side in projected.shape[1:3])
        tokens = grid_tokens(pool_2d(projected[frames], stride, self.mode), frames, rows, cols)
        if self.newline_embed is not None:
            tokens = append_learned(tokens, "newline_embed", self.newline_embed, Kind.NEWLINE, dim=2)
        tokens = tokens.map(lambda tensor: tensor.flatten(1, 2))
        if self.frame_token is not None:
            tokens = append_learned(tokens, "frame_token", self.frame_token, Kind.SEPARATOR, dim=1)
        return [tokens.map(lambda tensor, row=row: tensor[row]) for row in range(len(frames))]

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        slow = -(-frames // self.slow_every)
        groups = [(slow, self.slow_stride), (frames - slow, self.fast_stride)]
        return sum(size * self.per_frame(height, width, stride) for size, stride in groups if size)

    def per_frame(self, height: int, width: int, stride: int) -> int:
        """Tokens of one frame of height x width patches, its newlines and frame token among them."""
        rows, cols = len(spans(height, stride, self.mode)), len(spans(width, stride, self.mode))
        return rows * (cols + (self.newline_embed is not None)) + (self.frame_token is not None)
