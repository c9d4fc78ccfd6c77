"""Methods with the same number of visual tokens: one set of weights, the same clips, the same questions.

`make compare` measures them on a thousand clips and writes data/measured/same_budget.json. The file holds the number of
exactly right answers for every method, kind of question and clip. Lesson 07 makes its tables and intervals from these
counts.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib import toybox
from lib.evaluate.exact import grade
from lib.files import DATA, write_text
from lib.reducers import LlavaVideo, Reducer, SlowFastLlava, SpatialPool
from lib.toybox.world import GRID
from lib.video import sample_uniform
from lib.vlm.loading import digest, load
from lib.vlm.model import VideoLM

SAME_BUDGET = DATA / "measured" / "same_budget.json"
CLIPS_AT_ONCE = 8  # clips at once
COMPARED_CLIPS = 1000  # seeds 0 to 999, which training never draws
COMPARED_KINDS = ("code", "flash", "order", "motion", "count", "colour", "shape")  # what the methods may differ on


@dataclass(frozen=True, eq=False)
class Method:
    """One method to spend a budget of visual tokens: how many frames to read, and through which reducer.

    >>> method = Method("uniform", 128, "8 x 16", 8, SpatialPool(2))
    >>> method.key, method.tokens
    ('uniform 8 x 16', 128)
    """

    family: str
    budget: int
    name: str  # frames x tokens per frame
    frames: int  # read from the clip, evenly spread
    reducer: Reducer

    @property
    def key(self) -> str:
        return f"{self.family} {self.name}"

    @property
    def tokens(self) -> int:
        """At most the budget; less if the method cannot spend it all."""
        return self.reducer.count(self.frames, GRID, GRID)

    def look(self, vlm: VideoLM, features: Tensor) -> Tensor:
        """Features of all frames of a clip (T, H, W, C) -> visual tokens (N, D)."""
        return self.reducer(features[sample_uniform(len(features), self.frames)], vlm.project).embeds

    def marks(self, vlm: VideoLM, features: Sequence[Tensor], asked: Sequence[Sequence[toybox.QA]]) -> list[list[bool]]:
        """For each clip, its features and the questions about it: was each answer exactly right?

        All questions about a clip read the same visual tokens. A reducer that looks at the question cannot do that.
        """
        return grade(vlm, [self.look(vlm, of_clip) for of_clip in features], asked)


def uniform(budget: int, frames: int, stride: int) -> Method:
    """The same number of tokens for each of a few frames: as in LLaVA-NeXT-Video, at any stride."""
    return Method("uniform", budget, f"{frames} x {(GRID // stride) ** 2}", frames, SpatialPool(stride))


def slow_fast(budget: int, name: str, slow: str, fast: str) -> Method:
    """SlowFast-LLaVA on all 16 frames; `slow` and `fast` as in its specifications."""
    return Method("SlowFast-LLaVA", budget, name, 16, SlowFastLlava.from_spec(f"slowfast-slow_{slow}-fast_{fast}"))


def interleaved(budget: int, name: str, every: int, slow_stride: int, fast_stride: int) -> Method:
    """LLaVA-Video's variant on all 16 frames, without learned tokens, averaged: as tiny was trained."""
    return Method("LLaVA-Video", budget, name, 16, LlavaVideo(every, slow_stride, fast_stride, "average"))


METHODS = (
    uniform(64, 1, 1),
    uniform(64, 4, 2),
    uniform(64, 16, 4),
    slow_fast(64, "1 x 32 + 16 x 2", "1frms_spatial_1d_max_pool", "1x2"),
    interleaved(64, "3 x 16 + 13 x 1", 6, 2, 8),
    uniform(128, 2, 1),
    uniform(128, 8, 2),
    slow_fast(128, "1 x 64 + 16 x 4", "1frms_concat", "2x2"),
    slow_fast(128, "2 x 32 + 16 x 4", "2frms_spatial_1d_max_pool", "2x2"),
    interleaved(128, "1 x 64 + 15 x 4", 16, 1, 4),
    interleaved(128, "4 x 16 + 12 x 4", 4, 2, 4),
    uniform(256, 4, 1),
    uniform(256, 16, 2),
    slow_fast(256, "3 x 64 + 16 x 4", "3frms_concat", "2x2"),
    interleaved(256, "3 x 64 + 13 x 4", 6, 1, 4),
    uniform(1024, 16, 1),  # all tokens: the upper bound
)


def practice(views: Sequence[tuple[int, Reducer]]) -> dict[str, float]:
    """Method -> its share of these views, (frames, reducer) each: as many frames through a reducer of one setting.

    >>> practice([(2, SpatialPool(1)), (8, SpatialPool(1))])["uniform 2 x 64"]
    0.5
    """
    met = [view_settings(*view) for view in views]
    return {method.key: met.count(view_settings(method.frames, method.reducer)) / len(met) for method in METHODS}


def view_settings(frames: int, reducer: Reducer) -> tuple:
    """Everything that distinguishes two views; for learned tokens only whether there are any."""
    learned = ("newline_embed", "frame_token", "conv")
    own = [
        pair for pair in sorted(vars(reducer).items()) if pair[0][0] != "_" and pair[0] not in (*learned, "training")
    ]
    return frames, type(reducer).__name__, repr(own), [getattr(reducer, name, None) is not None for name in learned]


class Counts(NamedTuple):
    """How many answers were right. Methods and kinds in the requested order."""

    right: np.ndarray  # (clips, methods, kinds) int
    asked: np.ndarray  # (clips, kinds) int


@torch.inference_mode()
def count_right(
    vlm: VideoLM,
    clips: Sequence[toybox.Clip],
    methods: Sequence[Method] = METHODS,
    encode: Callable[[VideoLM, np.ndarray], Tensor] = VideoLM.encode,
) -> Counts:
    """Asks all questions of KINDS about each clip, once for each method. A clip's frames are encoded once for all."""
    starts = range(0, len(clips), CLIPS_AT_ONCE)
    parts = [count_batch(vlm, clips[start : start + CLIPS_AT_ONCE], methods, encode) for start in starts]
    return Counts(*map(np.concatenate, zip(*parts, strict=True)))


def count_batch(
    vlm: VideoLM,
    clips: Sequence[toybox.Clip],
    methods: Sequence[Method],
    encode: Callable[[VideoLM, np.ndarray], Tensor],
) -> Counts:
    """`count_right` for as many clips as fit into one batch."""
    asked = [[qa for qa in toybox.questions(clip) if qa.kind in COMPARED_KINDS] for clip in clips]
    features = [encode(vlm, toybox.render(clip)) for clip in clips]
    marks = [method.marks(vlm, features, asked) for method in methods]
    right = [[by_kind(*pair) for pair in zip(asked, of_method, strict=True)] for of_method in marks]
    return Counts(np.array(right).swapaxes(0, 1), np.array([by_kind(of_clip, [1] * len(of_clip)) for of_clip in asked]))


def by_kind(asked: Sequence[toybox.QA], hits: Sequence[bool]) -> list[int]:
    """How many of the hits are answers to a question of each kind.

    >>> asked = [qa for qa in toybox.questions(toybox.sample(7)) if qa.kind in COMPARED_KINDS]
    >>> dict(zip(COMPARED_KINDS, by_kind(asked, [True] * len(asked))))
    {'code': 1, 'flash': 1, 'order': 0, 'motion': 4, 'count': 1, 'colour': 4, 'shape': 4}
    """
    return [sum(hit for qa, hit in zip(asked, hits, strict=True) if qa.kind == kind) for kind in COMPARED_KINDS]


# ---------------------------------------------------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------------------------------------------------


def write_same_budget(
    counts: Counts, path: Path = SAME_BUDGET, methods: Sequence[Method] = METHODS, command: str = "make compare"
) -> None:
    """One digit per clip, in the order of the seeds, for every kind of question and every method."""
    lines = {kind: "".join(map(str, column)) for kind, column in zip(COMPARED_KINDS, counts.asked.T, strict=True)}
    right = {
        method.key: {kind: "".join(map(str, column)) for kind, column in zip(COMPARED_KINDS, columns.T, strict=True)}
        for method, columns in zip(methods, counts.right.swapaxes(0, 1), strict=True)
    }
    table = {"command": command, "weights": digest(), "first_seed": 0, "asked": lines, "right": right}
    write_text(path, json.dumps(table, indent=1) + "\n")


def read_same_budget(
    path: Path = SAME_BUDGET, methods: Sequence[Method] = METHODS, command: str = "make compare"
) -> Counts:
    """The counts that `make compare` wrote, in the order of the methods, and kinds as in KINDS.

    Raises FileNotFoundError if there is no file, and ValueError if it belongs to other weights or methods.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore it with git, or run `{command}`")
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["weights"] != digest() or list(table["right"]) != [method.key for method in methods]:
        raise ValueError(f"{path} was measured with other weights or methods than these: run `{command}`")
    right = [[list(map(int, of_method[kind])) for kind in COMPARED_KINDS] for of_method in table["right"].values()]
    return Counts(
        np.array(right).transpose(2, 0, 1), np.array([list(map(int, table["asked"][k])) for k in COMPARED_KINDS]).T
    )


def count_seeds(seeds: range) -> Counts:
    """One process's share of the clips."""
    torch.set_num_threads(1)
    return count_right(load("tiny", device="cpu"), [toybox.sample(seed) for seed in seeds])


def in_processes(count: Callable[[range], Counts], clips: int = COMPARED_CLIPS) -> Counts:
    """The counts of clips 0 to `clips` - 1, on every core."""
    step = 5 * CLIPS_AT_ONCE
    shares = [range(start, min(start + step, clips)) for start in range(0, clips, step)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(tqdm(pool.map(count, shares), total=len(shares), unit=f" x {step} clips"))
    return Counts(*map(np.concatenate, zip(*parts, strict=True)))


def main() -> None:
    """Measures all methods on all clips, on every core, and writes the file."""
    write_same_budget(in_processes(count_seeds))


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m lib.workshop.same_budget",
        description="Ask 1,000 clips through every reducer at the same budget.",
    ).parse_args()
    main()
