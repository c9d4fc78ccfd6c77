"""Scores with intervals: how many answers are exactly right, by kind of question.

A share of n answers is a measurement, and a measurement has an interval. Where two models or reducers saw the same
clips, the interval of their difference is narrower than the two intervals suggest: `difference` takes the pairs.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from lib import toybox
from lib.data import IGNORE, answer_logits, pack
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
        visual = [look(vlm, clip, reducer, frames) for clip in some]
        asked = [toybox.questions(clip) for clip in some]
        packed = pack(
            vlm.model, vlm.tokenizer, visual, [[(qa.question, qa.answer) for qa in of_clip] for of_clip in asked]
        )
        for of_clip, row in zip(asked, hits(vlm.model, packed).tolist(), strict=True):
            for qa, hit in zip(of_clip, row, strict=False):  # a row is as long as the longest: the rest is padding
                right[qa.kind].append(hit)
    return dict(right)


def look(vlm, clip: toybox.Clip, reducer, frames: int) -> torch.Tensor:
    """The visual tokens (N, D) of a clip."""
    indices = sample_uniform(clip.frames, min(frames, clip.frames))
    return reducer(vlm.encode(toybox.render(clip, indices=indices)), vlm.project).embeds


def hits(model, packed) -> torch.Tensor:
    """(B, most questions) bool: was every token of the answer the model's first choice?"""
    logits, target = answer_logits(model, packed)
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
        digest=hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    beside = TINY / ".README.part"
    beside.write_text(card(load("tiny"), clips=1000), encoding="utf-8")
    os.replace(beside, TINY / "README.md")
    print((TINY / "README.md").read_text(encoding="utf-8"))
