"""LLaVA-NeXT-Video (blog of 30 April 2024): every frame pooled over space, all frames one after the other.

Official code: LLaVA-VL/LLaVA-NeXT. Branch `video_inference` (the April 2024 release) and transformers'
`LlavaNextVideoPooler` pool and then project, without newlines: `project="after"`. Branch `main`
(`llava/model/llava_arch.py`: get_2dPool, add_token_per_grid, add_token_per_frame) projects and then pools:
`project="before"`; so does transformers' `llava_onevision`, which adds one newline per video.
"""

from functools import lru_cache, partial, reduce
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.reducers.base import (
    NEWLINE,
    Origin,
    Project,
    Reducer,
    Span,
    VisualTokens,
    check_learned,
    check_sizes,
    identity,
    origin,
    patch_layout,
)

Mode = Literal["average", "max", "bilinear", "conv"]
Newline = Literal["none", "grid", "frame", "one"]


class SpatialPool(Reducer):
    """One token per stride x stride patches of a frame.

    mode: "average", "max" and "conv" drop the rest if the stride does not divide the grid, as the official code does
        (27 x 27 at stride 2 becomes 13 x 13; no box holds row 26). "bilinear" rounds up (14 x 14) and reads few of the
        patches at strides above 2: at stride 4, the middle 2 x 2 of each 4 x 4.
        "conv" needs its weights: `conv=model.model.vision_resampler.pool`.
    project: the projector "after" or "before" pooling. They differ, because the projector is not linear.
    newline: "grid" after every row, "frame" after every frame, "one" after the clip, or "none".
    newline_embed: (D,) the learned vector, as in `model.model.image_newline`.

    Raises ValueError for an unknown setting, a missing vector, no frame, or a grid smaller than the stride.

    >>> pool = SpatialPool(stride=2)
    >>> tokens = pool(torch.randn(8, 24, 24, 16))
    >>> len(tokens), pool.count(8, 24, 24)
    (1152, 1152)
    >>> tokens.frame[144].item(), tokens.box[144].tolist()
    (1, [0, 2, 0, 2])
    >>> SpatialPool(2, "bilinear", "before", "grid", torch.zeros(16)).count(1, 27, 27)
    210
    """

    def __init__(
        self,
        stride: int = 2,
        mode: Mode = "average",
        project: Literal["after", "before"] = "after",
        newline: Newline = "none",
        newline_embed: Tensor | None = None,
        conv: nn.Conv2d | None = None,
    ):
        super().__init__()
        check_choice("project", project, ("after", "before"))
        check_choice("newline", newline, ("none", "grid", "frame", "one"))
        check_pool(stride, mode, conv)
        if (newline == "none") != (newline_embed is None):
            raise ValueError(
                f"newline={newline!r} and newline_embed do not agree: pass newline_embed=model.model.image_newline "
                "with newline='grid', 'frame' or 'one', and leave it out with newline='none'"
            )
        self.stride, self.mode, self.project, self.newline = stride, mode, project, newline
        self.newline_embed = newline_embed
        self.conv = conv

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        self.check(features, question)
        where = pooled_origin(*features.shape[:3], self.stride, self.mode, self.newline, features.device)
        if self.project == "before":
            pooled = pool_2d(project(features), self.stride, self.mode, self.conv)
        else:
            pooled = project(pool_2d(features, self.stride, self.mode, self.conv))
        check_learned("newline_embed", self.newline_embed, pooled.shape[-1])
        return VisualTokens(with_newlines(pooled, self.newline, self.newline_embed), *where)

    def split(self) -> tuple[Project, Reducer]:
        """Pooling before the projector needs nothing learned: a quarter of the features is left at stride 2.

        >>> features = torch.randn(2, 8, 8, 3)
        >>> pool, rest = SpatialPool(2).split()
        >>> pool(features).shape, torch.equal(rest(pool(features)).embeds, SpatialPool(2)(features).embeds)
        (torch.Size([2, 4, 4, 3]), True)
        """
        if self.project == "before" or self.mode == "conv":
            return identity, self
        rest = SpatialPool(1, newline=self.newline, newline_embed=self.newline_embed)
        return partial(pool_2d, stride=self.stride, mode=self.mode), rest

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        rows, cols = len(spans(height, self.stride, self.mode)), len(spans(width, self.stride, self.mode))
        newlines = {"none": 0, "grid": frames * rows, "frame": frames, "one": 1}[self.newline]
        return frames * rows * cols + newlines


@lru_cache(maxsize=16)
def pooled_origin(
    frames: int, height: int, width: int, stride: int, mode: Mode, newline: Newline, device: torch.device
) -> Origin:
    """Computed once for clips of one size."""
    grid = patch_layout(spans(height, stride, mode), spans(width, stride, mode))[None]
    if newline == "one":
        return origin([*range(frames), -1], [grid.flatten(0, 2)] * frames + [NEWLINE[None]], device)
    return origin(range(frames), [with_newlines(grid, newline, NEWLINE)] * frames, device)


def with_newlines(grid: Tensor, newline: Newline, embed: Tensor | None) -> Tensor:
    """(T, h, w, D) -> (N, D): embeddings or layouts of all frames in reading order, with the newline (D,) inserted.

    >>> with_newlines(torch.zeros(1, 2, 2, 1), "grid", torch.ones(1)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """
    if newline == "none":
        return grid.flatten(0, 2)
    if newline != "grid":
        grid = grid.flatten(1 if newline == "frame" else 0, 2)
    ends = embed.to(grid).expand(*grid.shape[:-2], 1, -1)
    return torch.cat([grid, ends], dim=-2).flatten(0, -2)


def pool_2d(features: Tensor, stride: int, mode: Mode, conv: nn.Conv2d | None = None) -> Tensor:
    """(T, H, W, C) -> (T, h, w, C): `get_2dPool` of the official code, on a grid of any shape.

    >>> pool_2d(torch.arange(16.0).reshape(1, 4, 4, 1), 2, "max").flatten().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    if mode == "max":
        return max_pool(features, stride, stride)
    grid = features.permute(0, 3, 1, 2)  # a view: torch pools channels-last tensors without copying them
    if mode == "average":
        pooled = F.avg_pool2d(grid, stride)
    elif mode == "conv":
        pooled = conv(grid)
    else:
        size = [-(-side // stride) for side in grid.shape[2:]]
        pooled = F.interpolate(grid, size=size, mode="bilinear")
    return pooled.permute(0, 2, 3, 1)


def max_pool(features: Tensor, rows: int, cols: int) -> Tensor:
    """(T, H, W, C) -> (T, H // rows, W // cols, C): the maxima of neighbouring windows of rows x cols patches.

    F.max_pool2d gives the same result but also stores the position of each maximum, in 8 bytes. That is slower for many
    frames and in bfloat16 (`make bench`).

    >>> max_pool(torch.arange(10.0).reshape(1, 2, 5, 1), 2, 2).flatten().tolist()      # the last column is left out
    [6.0, 8.0]
    """
    height, width = features.shape[1] // rows * rows, features.shape[2] // cols * cols
    corners = [(row, col) for row in range(rows) for col in range(cols)]
    return reduce(torch.maximum, (features[:, row:height:rows, col:width:cols] for row, col in corners))


def spans(size: int, stride: int, mode: Mode) -> list[Span]:
    """Which of `size` rows (or columns) each pooled row reads. Raises ValueError if the stride leaves none.

    >>> spans(5, 2, "average")                                 # row 4 is left out
    [(0, 2), (2, 4)]
    >>> spans(5, 2, "bilinear"), spans(8, 4, "bilinear")       # two neighbours each
    ([(0, 2), (2, 3), (3, 5)], [(1, 3), (5, 7)])
    """
    if mode == "bilinear":
        pooled = -(-size // stride)
        return [bilinear_span(index, size, pooled) for index in range(pooled)]
    if size < stride:
        raise ValueError(f"{size} patches on a side cannot be pooled with stride {stride}: use stride={size} or less")
    return [(start, start + stride) for start in range(0, size - stride + 1, stride)]


def bilinear_span(index: int, size: int, pooled: int) -> Span:
    """The inputs with a weight above zero in output `index` of F.interpolate(align_corners=False), size -> pooled.

    The centre of the output lies at (index + 1/2) * size / pooled - 1/2; whole numbers keep it exact.

    >>> bilinear_span(0, 6, 3), bilinear_span(0, 9, 3)         # a centre that falls on a patch reads that patch alone
    ((0, 2), (1, 2))
    """
    first, rest = divmod((2 * index + 1) * size - pooled, 2 * pooled)
    return first, first + (2 if rest else 1)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless the value is one of the choices.

    >>> check_choice("mode", "mean", ("average", "max"))
    Traceback (most recent call last):
    ValueError: mode='mean' is unknown: choose one of average, max
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")


def check_pool(stride: int, mode: str, conv: nn.Conv2d | None = None) -> None:
    """Raises ValueError for a stride below one, an unknown mode, or "conv" without fitting weights."""
    check_choice("mode", mode, ("average", "max", "bilinear", "conv"))
    if not isinstance(stride, int) or isinstance(stride, bool) or stride < 1:
        raise ValueError(f"stride={stride!r}: a stride is a whole number of patches, 1 or more")
    if (mode == "conv") != (conv is not None):
        raise ValueError("mode='conv' needs its weights, and only it does: pass conv=model.model.vision_resampler.pool")
    if conv is not None and (conv.kernel_size, conv.stride) != ((stride, stride), (stride, stride)):
        raise ValueError(f"conv has kernel {conv.kernel_size} and stride {conv.stride}: both must be stride={stride}")
