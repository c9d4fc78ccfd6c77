"""The same-budget table: methods keep to their budgets, and the file is what these weights answer."""

import json
import re

import numpy as np
import pytest

from lib import toybox
from lib.evaluate import exact_match
from lib.vlm import load
from lib.workshop import same_budget
from lib.workshop.same_budget import (
    CLIPS_AT_ONCE,
    COMPARED_CLIPS,
    COMPARED_KINDS,
    METHODS,
    Counts,
    count_right,
    read_same_budget,
    write_same_budget,
)


@pytest.fixture(scope="module")
def tiny():
    return load("tiny", device="cpu")


def test_names_say_what_is_spent():
    """ "1 x 64 + 16 x 4" is 64 + 64 tokens, and no method spends more than its budget or much less."""
    assert len({method.key for method in METHODS}) == len(METHODS)
    for method in METHODS:
        parts = [int(frames) * int(tokens) for frames, tokens in re.findall(r"(\d+) x (\d+)", method.name)]
        assert sum(parts) == method.tokens, method.key
        assert 0.85 * method.budget < method.tokens <= method.budget, method.key


def test_every_budget_is_offered_to_every_family():
    for budget in (64, 128, 256):
        assert {m.family for m in METHODS if m.budget == budget} == {"uniform", "SlowFast-LLaVA", "LLaVA-Video"}


def same_but_for_ties(first, second, asked, methods=1):
    """Another processor rounds sums in another order, so that now and then a tie between two words tips: one in 500."""
    assert np.abs(np.subtract(first, second)).sum() <= 1 + methods * asked.sum() / 500


def test_counts_are_those_of_exact_match(tiny):
    """The other way to the same numbers: every frame encoded anew, and all kinds of question in one sequence."""
    clips = [toybox.sample(seed) for seed in range(20, 20 + CLIPS_AT_ONCE)]
    chosen = [method for method in METHODS if method.budget == 128][:3]
    counts = count_right(tiny, clips, chosen)
    assert (
        counts.right.shape == (CLIPS_AT_ONCE, 3, len(COMPARED_KINDS))
        and 0 < counts.right.sum() < 3 * counts.asked.sum()
    )
    for number, method in enumerate(chosen):
        right = exact_match(tiny, clips, method.reducer, method.frames)
        by_kind = [sum(right.get(kind, [])) for kind in COMPARED_KINDS]
        same_but_for_ties(counts.right[:, number].sum(axis=0), by_kind, counts.asked)
        assert counts.asked.sum(axis=0).tolist() == [len(right.get(kind, [])) for kind in COMPARED_KINDS]


def test_file_is_of_these_weights_and_these_clips():
    counts = read_same_budget()
    asked = [
        [sum(qa.kind == kind for qa in toybox.questions(toybox.sample(seed))) for kind in COMPARED_KINDS]
        for seed in range(COMPARED_CLIPS)
    ]
    assert counts.asked.tolist() == asked
    assert counts.right.shape == (COMPARED_CLIPS, len(METHODS), len(COMPARED_KINDS))
    assert (counts.right >= 0).all() and (counts.right <= counts.asked[:, None]).all()


def test_file_is_what_the_weights_answer(tiny):
    """Three batches of clips, measured again: every count of every method and kind."""
    again, stored = count_right(tiny, [toybox.sample(seed) for seed in range(3 * CLIPS_AT_ONCE)]), read_same_budget()
    assert again.asked.tolist() == stored.asked[: 3 * CLIPS_AT_ONCE].tolist()
    same_but_for_ties(again.right, stored.right[: 3 * CLIPS_AT_ONCE], again.asked, len(METHODS))


@pytest.fixture
def small():
    """Made-up counts of ten clips."""
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 4, (10, len(COMPARED_KINDS)))
    return Counts(rng.integers(0, asked[:, None] + 1, (10, len(METHODS), len(COMPARED_KINDS))), asked)


def test_what_is_written_is_read(small, tmp_path):
    write_same_budget(small, tmp_path / "measured" / "counts.json")
    back = read_same_budget(tmp_path / "measured" / "counts.json")
    assert back.right.tolist() == small.right.tolist() and back.asked.tolist() == small.asked.tolist()
    assert [path.name for path in (tmp_path / "measured").iterdir()] == ["counts.json"]


@pytest.mark.parametrize("change", [lambda t: t.update(weights="0" * 64), lambda t: t["right"].popitem()])
def test_a_file_of_other_weights_or_methods_is_refused(small, tmp_path, change):
    path = tmp_path / "counts.json"
    write_same_budget(small, path)
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    with pytest.raises(ValueError, match="run `make compare`"):
        read_same_budget(path)


def test_no_file():
    with pytest.raises(FileNotFoundError, match="make compare"):
        read_same_budget(same_budget.SAME_BUDGET.with_name("none.json"))
