"""Scores: the intervals are the textbook's, and an exact match is what greedy decoding writes."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from lib import toybox
from lib.evaluate import difference, exact_match, middle, redrawn_shares, score
from lib.reducers import SpatialPool
from lib.vlm import TINY, load

# The recipe aims at 0.95 for count too. These weights are not there (0.82 on the model card): what is listed is what
# they reach, and the card is compared with the weights for every kind.
THRESHOLDS = {"colour": 0.95, "shape": 0.95, "code": 0.95, "flash": 0.95, "motion": 0.90, "order": 0.90}


@pytest.fixture(scope="module")
def tiny():
    return load("tiny")


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    share = hits / n
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (37, 80), (990, 1000)])
def test_wilson(hits, n):
    measured = score([True] * hits + [False] * (n - hits))
    assert measured.mean == hits / n and measured.asked == n
    assert (measured.low, measured.high) == pytest.approx(wilson(hits, n), abs=1e-6)


def test_the_interval_of_a_difference_uses_the_pairs():
    """Two scores that rise and fall together differ by more certainty than two that do not."""
    rng = np.random.default_rng(0)
    first = rng.random(400) < 0.8
    together, apart = first & (rng.random(400) < 0.9), rng.permutation(first & (rng.random(400) < 0.9))
    paired, unpaired = difference(first, together), difference(first, apart)
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)
    assert paired.mean == pytest.approx(first.mean() - together.mean())
    assert paired.low < paired.mean < paired.high


def test_no_answers_no_score():
    with pytest.raises(ValueError, match="at least one question"):
        score([])


def test_exact_match_is_what_greedy_decoding_writes(tiny):
    clips, reducer = [toybox.sample(seed) for seed in range(6)], SpatialPool(2)
    right = exact_match(tiny, clips, reducer, frames=4, batch=4)
    written = {}
    for clip in clips:
        features = tiny.encode(toybox.render(clip, indices=[0, 5, 10, 15]))
        asked = toybox.questions(clip)
        texts = tiny.answers([features] * len(asked), [qa.question for qa in asked], reducer)
        for qa, text in zip(asked, texts, strict=True):
            written.setdefault(qa.kind, []).append(text == qa.answer)
    assert right == written
    share = np.mean([hit for hits in right.values() for hit in hits])
    assert 0.2 < share < 1  # at four pooled frames some answers are wrong: the comparison compared something


def test_shipped_weights_reach_their_scores(tiny):
    """At full tokens on 80 unseen clips; the model card says what 1,000 gave, and must agree."""
    right = exact_match(tiny, [toybox.sample(seed) for seed in range(80)], SpatialPool(1))
    card = (Path(TINY) / "README.md").read_text(encoding="utf-8")
    on_card = {kind: float(share) for kind, share in re.findall(r"^\| (\w+) \| ([\d.]+) \|", card, re.MULTILINE)}
    assert set(on_card) == set(right)
    for kind, answers in right.items():
        measured = score(answers)
        assert measured.low - 0.01 <= on_card[kind] <= measured.high + 0.01, f"{kind}: {measured}, {on_card[kind]}"
        assert min(on_card[kind], measured.high) >= THRESHOLDS.get(kind, 0), f"{kind}: {measured}, {on_card[kind]}"


def test_redrawn_clips_bring_all_their_questions_along():
    """By hand, in a loop: the same draws, the same shares."""
    rng = np.random.default_rng(1)
    asked = rng.integers(1, 4, (30, 2))
    right = rng.integers(0, asked[:, None] + 1, (30, 3, 2))  # three ways to answer
    shares = redrawn_shares(right, asked, redraws=5, seed=7)
    draws, by_hand = np.random.default_rng(7), [right.sum(axis=0) / asked.sum(axis=0)]
    for _ in range(5):
        drawn = draws.integers(30, size=30)
        by_hand.append(right[drawn].sum(axis=0) / asked[drawn].sum(axis=0))
    assert shares.shape == (6, 3, 2) and np.allclose(shares, by_hand, atol=1e-12)


def test_answers_that_stand_or_fall_together_are_worth_fewer():
    """Five answers about a clip that are all right or all wrong say no more than one."""
    rng = np.random.default_rng(0)
    asked, each = np.full((400, 1), 5), rng.random((400, 1)) < 0.5
    together, apart = 5 * each, rng.binomial(5, 0.5, (400, 1))
    shares = redrawn_shares(np.stack([together, apart], axis=1), asked)
    widths = [interval.high - interval.low for interval in (middle(shares[:, way, 0], 400) for way in (0, 1))]
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(5), rel=0.1)
    assert widths[0] == pytest.approx(np.subtract(*wilson(int(each.sum()), 400)[::-1]), rel=0.1)


def test_two_ways_to_answer_meet_the_same_draws():
    rng = np.random.default_rng(0)
    asked = rng.integers(1, 3, (200, 1))
    first = rng.binomial(asked, 0.5)
    shares = redrawn_shares(np.stack([first, np.maximum(first - (np.arange(200) < 4)[:, None], 0)], axis=1), asked)
    gap = middle(shares[:, 0, 0] - shares[:, 1, 0], 200)
    assert 0 <= gap.low < gap.mean < gap.high < 0.03  # one way alone is known to 0.06 only


def test_too_few_clips_to_redraw():
    with pytest.raises(ValueError, match="3 clips are too few"):
        redrawn_shares(np.array([[1], [0], [0]]), np.array([[1], [0], [0]]))
