"""Scores with intervals: how many answers are exactly right, by kind of question.

A share of n answers is a measurement, and a measurement has an interval. Where two models or reducers saw the same
clips, the interval of their difference is narrower than the two intervals suggest: `difference` takes the pairs.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from lib import toybox
from lib.data import IGNORE, answer_logits, pack, states
from lib.reducers import SpatialPool
from lib.video import sample_uniform
from lib.vlm import TINY, load


class Score(NamedTuple):
    """A share of right answers, with its 95 % interval."""

    mean: float
    low: float
    high: float
    asked: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.asked}"


def score(right: Sequence[bool]) -> Score:
    """The share of True with its Wilson 95 % interval, which stays inside 0 to 1 and is right for small n too.

    >>> print(score([True] * 95 + [False] * 5))
    0.950 [0.888, 0.978] n=100
    """
    if not len(right):
        raise ValueError("no answers to score: ask at least one question")
    interval = stats.binomtest(int(sum(right)), len(right)).proportion_ci(method="wilson")
    return Score(sum(right) / len(right), float(interval.low), float(interval.high), len(right))


def difference(first: Sequence[bool], second: Sequence[bool], seed: int = 0) -> Score:
    """How much larger the share of True is in `first` than in `second`: answers to the same questions in one order.

    The interval is the 95 % percentile bootstrap over the pairs, 2,000 resamples.

    >>> print(difference([True] * 90 + [False] * 10, [True] * 70 + [False] * 30))
    0.200 [0.130, 0.280] n=100
    """
    pairs = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    interval = stats.bootstrap(
        (pairs,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Score(float(pairs.mean()), float(interval.low), float(interval.high), len(pairs))


def redrawn_shares(right: np.ndarray, asked: np.ndarray, redraws: int = 2000, seed: int = 0) -> np.ndarray:
    """Shares of right answers by kind, on the clips as they are and on `redraws` samples of them (the bootstrap).

    right: (clips, ..., kinds) how many answers to the questions of each kind were right, for any number of ways to
    answer; asked: (clips, kinds) how many there were. Returns (1 + redraws, ..., kinds), the clips as they are first.

    Answers about one clip stand or fall together, so a thousand clips with ten questions each are not ten thousand
    measurements. Here whole clips are drawn, with replacement, and bring all their questions along; and all ways to
    answer meet the same draws, so that the difference of two ways is paired. Give any mean or difference of the shares
    to `middle` for its interval.

    Raises ValueError where a draw has no question of some kind: the clips are too few.

    >>> asked = np.array([[2, 1], [1, 1], [3, 1]] * 20)
    >>> shares = redrawn_shares(asked * [1, 0], asked)         # the first kind always right, the second never
    >>> shares.shape, shares[0].tolist()
    ((2001, 2), [1.0, 0.0])
    >>> print(middle(shares.mean(axis=1), clips=60))
    0.500 [0.500, 0.500] n=60
    """
    clips, rng = len(asked), np.random.default_rng(seed)
    draws = [np.bincount(rng.integers(clips, size=clips), minlength=clips) for _ in range(redraws)]
    times = np.stack([np.ones(clips), *draws])  # how often each clip was drawn
    out_of = times @ asked
    if (out_of == 0).any():
        raise ValueError(f"{clips} clips are too few: some draws hold no question of a kind. Give more clips")
    hits = (times @ right.reshape(clips, -1)).reshape(len(times), *right.shape[1:])
    return hits / out_of.reshape(len(times), *[1] * (right.ndim - 2), -1)


def middle(values: np.ndarray, clips: int) -> Score:
    """What was measured, values[0], with the middle 95 % of what redrawn clips gave, values[1:].

    >>> print(middle(np.array([0.5, *np.linspace(0.4, 0.6, 101)]), clips=80))
    0.500 [0.405, 0.595] n=80
    """
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Score(float(values[0]), float(low), float(high), clips)


@torch.inference_mode()
def exact_match(
    vlm, clips: Sequence[toybox.Clip], reducer=None, frames: int = 16, batch: int = 8
) -> dict[str, list[bool]]:
    """Asks every question about every clip; says for each kind of question which answers were exactly right.

    The model looks at `frames` frames of each clip, chosen by LLaVA-NeXT's rule, through `reducer` (default: its own).
    An answer counts as right where every token of it, and the end token, is the model's first choice given the tokens
    before: just then greedy decoding writes exactly the true answer. So nothing needs to be decoded, and all questions
    about a clip share its visual tokens. Clips with other numbers of frames cannot share a batch.

    Returns kind -> one bool per question, in the order of the clips.
    """
    reducer = reducer or vlm.default_reducer
    right = defaultdict(list)
    for start in range(0, len(clips), batch):
        some = clips[start : start + batch]
        asked = [toybox.questions(clip) for clip in some]
        marks = mark(vlm, [look(vlm, clip, reducer, frames) for clip in some], asked)
        for of_clip, row in zip(asked, marks, strict=True):
            for qa, hit in zip(of_clip, row, strict=True):
                right[qa.kind].append(hit)
    return dict(right)


def mark(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[toybox.QA]]) -> list[list[bool]]:
    """For each of B clips, the visual tokens (N, D) and the questions: was each answer exactly right?"""
    turns = [[(qa.question, qa.answer) for qa in of_clip] for of_clip in asked]
    rows = hits(vlm.model, pack(vlm.model, vlm.tokenizer, visual, turns)).tolist()
    return [row[: len(of_clip)] for row, of_clip in zip(rows, asked, strict=True)]  # the rest of a row is padding


def look(vlm, clip: toybox.Clip, reducer, frames: int) -> torch.Tensor:
    """The visual tokens (N, D) of a clip."""
    indices = sample_uniform(clip.frames, min(frames, clip.frames))
    return reducer(vlm.encode(toybox.render(clip, indices=indices)), vlm.project).embeds


def hits(model, packed) -> torch.Tensor:
    """(B, most questions) bool: was every token of the answer the model's first choice?"""
    logits, target = answer_logits(model, packed, states(model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    wrong = torch.zeros_like(answers)
    wrong[answers] = logits.argmax(dim=-1) != target
    turns = packed.turn[:, 1:].clamp(min=0)
    return torch.zeros(len(wrong), int(turns.max()) + 1).scatter_add_(1, turns.cpu(), wrong.float().cpu()) == 0


# ---------------------------------------------------------------------------------------------------------------------
# The model card of the tiny model: python -m lib.evaluate
# ---------------------------------------------------------------------------------------------------------------------

CARD = """# The tiny model

A LLaVA-NeXT-Video of {parameters:,} parameters (`LlavaNextVideoForConditionalGeneration`), trained from nothing by
`make tiny` on Toybox, the course's world of moving shapes. It knows nothing else. It speaks English; its tokenizer
covers any text. Licence: Apache-2.0, as the course.

Share of exactly right answers on {clips:,} clips that it never saw (seeds 0 to {last}), with Wilson 95 % intervals, at
full tokens: {tokens:,} ({frames} frames of {grid} x {grid}, no pooling).

{table}

Recipe: `lib/train.py`. Weights: `model.safetensors`, sha256 `{digest}`.
"""


def card(vlm, clips: int) -> str:
    """The text of the model card, with scores measured on `clips` clips."""
    frames, full = 16, SpatialPool(stride=1)
    right = exact_match(vlm, [toybox.sample(seed) for seed in range(clips)], full, frames)
    grid = vlm.model.config.vision_config.image_size // vlm.model.config.vision_config.patch_size
    rows = ["| question | share right | 95 % interval | asked |", "|---|---|---|---|"]
    for kind, answers in sorted(right.items()):
        share = score(answers)
        rows.append(f"| {kind} | {share.mean:.3f} | {share.low:.3f} to {share.high:.3f} | {share.asked} |")
    return CARD.format(
        parameters=vlm.model.num_parameters(),
        clips=clips,
        last=clips - 1,
        tokens=full.count(frames, grid, grid),
        frames=frames,
        grid=grid,
        table="\n".join(rows),
        digest=digest(),
    )


def digest() -> str:
    """The sha256 of the tiny model's weights."""
    return hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes beside the old file, in a folder made if need be, and then renames: an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    write_text(TINY / "README.md", card(load("tiny"), clips=1000))
    print((TINY / "README.md").read_text(encoding="utf-8"))
