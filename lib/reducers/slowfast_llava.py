"""SlowFast-LLaVA (arXiv 2407.15841v2, section 3.2): few frames in detail, then all frames coarsely. No training.

Official code: apple/ml-slowfast-llava, `slowfast_llava/llava/model/llava_arch.py` (prepare_slowfast). The
features are projected first; the slow frames come first, the fast ones after, and nothing separates the two.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.reducers.base import (
    Origin,
    Project,
    Reducer,
    Span,
    VisualTokens,
    check_sizes,
    identity,
    origin,
    patch_layout,
)
from lib.reducers.spatial_pool import max_pool

SPEC = re.compile(r"slowfast-slow_(\d+)frms_(concat|spatial_[12]d_(?:max|avg)_pool)-fast_(\d+)x(\d+)")
SLOW_WINDOW = {"concat": (1, 1), "spatial_1d": (1, 2), "spatial_2d": (2, 2)}  # rows, columns


@dataclass(frozen=True)
class SlowFastSpec:
    """A parsed specification string of the official configuration files.

    >>> SlowFastSpec.parse("slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4")
    SlowFastSpec(slow_frames=10, slow_pool='spatial_1d_max_pool', fast_height=4, fast_width=4)
    """

    slow_frames: int
    slow_pool: str
    fast_height: int
    fast_width: int

    def __post_init__(self):
        if min(self.slow_frames, self.fast_height, self.fast_width) < 1:
            raise ValueError(f"{self}: the slow frames and both sides of the fast grid must be 1 or more")

    @classmethod
    def parse(cls, spec: str) -> "SlowFastSpec":
        """Raises ValueError, with the expected form, if the text does not parse."""
        match = SPEC.fullmatch(spec)
        if match is None:
            raise ValueError(
                f"{spec!r} is not a SlowFast specification: write slowfast-slow_<n>frms_<pool>-fast_<rows>x<columns>, "
                "where <pool> is concat, spatial_1d_max_pool, spatial_1d_avg_pool, spatial_2d_max_pool or "
                "spatial_2d_avg_pool; for instance slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4"
            )
        slow_frames, slow_pool, fast_height, fast_width = match.groups()
        return cls(int(slow_frames), slow_pool, int(fast_height), int(fast_width))

    @property
    def slow_window(self) -> tuple[int, int]:
        """Rows and columns of patches in one slow token. The paper writes 1 x 2 (spatial_1d): 24 rows of 12 tokens."""
        return SLOW_WINDOW[self.slow_pool[:10]]

    def slow_spans(self, height: int, width: int) -> tuple[list[Span], list[Span]]:
        """The patch rows and columns of the slow tokens. Raises ValueError for a grid smaller than one window."""
        rows, cols = self.slow_window
        if height < rows or width < cols:
            raise ValueError(
                f"{height} x {width} patches hold no {rows} x {cols} window of {self.slow_pool}: "
                "use concat as the slow pooling, or frames of more patches"
            )
        return windows(height, rows), windows(width, cols)

    def fast_spans(self, height: int, width: int) -> tuple[list[Span], list[Span]]:
        """The patch rows and columns of the fast tokens."""
        return adaptive_spans(height, self.fast_height), adaptive_spans(width, self.fast_width)


class SlowFastLlava(Reducer):
    """The two pathways of SlowFast-LLaVA.

    The slow pathway pools inside each row ("spatial_1d") or in 2 x 2 windows ("spatial_2d"). It leaves out the last
    column (and row) of an odd grid. The official "spatial_1d" pools the flattened sequence: on an odd width it pairs
    the end of one row with the start of the next. The paper's 1 x 2 does not, and neither do we. On even widths the two
    are equal. The fast pathway averages over an adaptive grid, whose windows overlap if the sides do not divide.
    With fewer frames than slow frames the slow ones repeat, as in the official code.

    Raises ValueError for a specification that does not parse, no frame, or a grid smaller than the slow window.

    >>> reducer = SlowFastLlava.from_spec("slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4")
    >>> reducer.slow_indices(50)
    [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    >>> reducer.count(50, 24, 24), len(reducer(torch.randn(50, 24, 24, 8)))
    (3680, 3680)
    """

    def __init__(self, spec: SlowFastSpec):
        super().__init__()
        self.spec = spec

    @classmethod
    def from_spec(cls, spec: str) -> "SlowFastLlava":
        """From a string of the official configuration files. Raises ValueError if it does not parse."""
        return cls(SlowFastSpec.parse(spec))

    def slow_indices(self, frames: int) -> list[int]:
        """Which of the frames take the slow pathway. torch.linspace in float32, as official: floor(i T / n) differs.

        >>> SlowFastLlava.from_spec("slowfast-slow_10frms_concat-fast_4x4").slow_indices(4)
        [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
        """
        return torch.linspace(0, frames, self.spec.slow_frames + 1).to(torch.int32)[:-1].tolist()

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        self.check(features, question)
        slow_indices = self.slow_indices(len(features))
        where = slowfast_origin(self.spec, tuple(slow_indices), *features.shape[:3], features.device)
        projected = project(features)
        # One slow frame at a time: a slice is a view, but all of them picked at once would be a copy.
        slow = [pool_slow(projected[t : t + 1], self.spec) for t in slow_indices]
        fast_size = self.spec.fast_height, self.spec.fast_width
        fast = F.adaptive_avg_pool2d(projected.permute(0, 3, 1, 2), fast_size).permute(0, 2, 3, 1)
        return VisualTokens(torch.cat([grid.flatten(0, 2) for grid in (*slow, fast)]), *where)

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        rows, cols = self.spec.slow_spans(height, width)
        return self.spec.slow_frames * len(rows) * len(cols) + frames * self.spec.fast_height * self.spec.fast_width


@lru_cache(maxsize=16)
def slowfast_origin(
    spec: SlowFastSpec, slow_indices: tuple[int, ...], frames: int, height: int, width: int, device: torch.device
) -> Origin:
    """Computed once for clips of one size."""
    slow = patch_layout(*spec.slow_spans(height, width)).flatten(0, 1)
    fast = patch_layout(*spec.fast_spans(height, width)).flatten(0, 1)
    return origin([*slow_indices, *range(frames)], [slow] * len(slow_indices) + [fast] * frames, device)


def pool_slow(projected: Tensor, spec: SlowFastSpec) -> Tensor:
    """(n, H, W, D) -> (n, h, w, D): the slow pathway.

    >>> spec = SlowFastSpec.parse("slowfast-slow_1frms_spatial_1d_max_pool-fast_1x1")
    >>> pool_slow(torch.arange(4.0).reshape(1, 2, 2, 1), spec).flatten().tolist()
    [1.0, 3.0]
    """
    if "avg" in spec.slow_pool:
        return F.avg_pool2d(projected.permute(0, 3, 1, 2), spec.slow_window).permute(0, 2, 3, 1)
    return max_pool(projected, *spec.slow_window)  # "concat" is a window of one patch


def windows(size: int, window: int) -> list[Span]:
    """Neighbouring windows; a remainder at the end belongs to none.

    >>> windows(5, 2)
    [(0, 2), (2, 4)]
    """
    return [(start, start + window) for start in range(0, size - window + 1, window)]


def adaptive_spans(size: int, pooled: int) -> list[Span]:
    """The inputs of each output of adaptive average pooling: floor(i s / p) to ceil((i + 1) s / p).

    >>> adaptive_spans(24, 4), adaptive_spans(5, 2)            # the second pair overlaps in row 2
    ([(0, 6), (6, 12), (12, 18), (18, 24)], [(0, 3), (2, 5)])
    """
    return [(index * size // pooled, -(-(index + 1) * size // pooled)) for index in range(pooled)]
