"""Something to win: the lesson's own way scores what its task says, an entry of ours wins, and what cannot be scored is
refused in a line. Our entries lie in tests/entries."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.__main__ import main
from lib.exercises.challenges import ALL_KINDS, CHALLENGES, HELD_BACK, read_entry
from lib.toybox.world import TEST_SEEDS
from notebooks import build

ENTRIES = {path.stem.removeprefix("challenge_"): path for path in (Path(__file__).parent / "entries").glob("*.py")}
BY_ID = {challenge.id: challenge for challenge in CHALLENGES}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A progress file."""
    monkeypatch.setenv("F2T_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def seeds_of(challenge):
    return range(60_000, 60_048) if challenge.id == "capstone" else HELD_BACK


def test_every_lesson_has_a_challenge_and_the_capstone_is_the_last():
    assert list(BY_ID) == [path.stem[:2] for path in build.lessons()] + ["capstone"]
    assert set(ENTRIES) == set(BY_ID)


def test_clips_to_win_on_are_neither_trained_on_nor_shown():
    assert HELD_BACK.stop <= TEST_SEEDS and HELD_BACK.start >= 10_000
    drawn = BY_ID["capstone"].seeds()
    assert len(drawn) == 96 and HELD_BACK.stop <= drawn.start and drawn.stop <= TEST_SEEDS
    assert BY_ID["capstone"].seeds(5) == range(5, 101)


@pytest.mark.parametrize("name", BY_ID)
def test_the_lessons_own_way_scores_what_the_task_says_and_does_not_win(name):
    challenge = BY_ID[name]
    if challenge.own:  # 08's is trained in the lesson, whose claims hold the number
        score = challenge.score(challenge.own, seeds_of(challenge))
        assert score.mean == pytest.approx(challenge.owns, abs=0.02 if challenge.owns < 2 else 1)
    assert challenge.owns < challenge.goal


@pytest.mark.parametrize("name", BY_ID)
def test_an_entry_of_ours_wins(name, kept, capsys):
    challenge = BY_ID[name]
    result = challenge.play(read_entry(ENTRIES[name]), 60_000)
    assert result.mean >= challenge.goal, result
    assert result.low <= result.mean <= result.high
    assert json.loads(kept.read_text("utf-8"))["challenges"][name]["won"]
    assert f"{name}: {result.mean:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("name", BY_ID)
def test_a_lesson_shows_its_challenge_as_it_is(name):
    if name != "capstone":
        (source,) = [path for path in build.lessons() if path.stem.startswith(name)]
        texts = [cell.source for cell in build.read_source(source).cells if cell.cell_type == "markdown"]
        assert BY_ID[name].markdown("en").split() in [text.split() for text in texts]


WRONG = {
    "no tensor": (lambda features, project: None, "NoneType"),
    "a wrong shape": (lambda features, project: project(features), r"\(16, 8, 8, 128\)"),
    "too many": (lambda features, project: project(features).flatten(0, 2), "1024 tokens: from 1 to 64"),
    "none": (lambda features, project: torch.zeros(0, 128), "0 tokens"),
    "no numbers": (lambda features, project: torch.full((4, 128), np.nan), "no number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_tokens_that_cannot_be_scored_are_refused(name):
    entry, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        BY_ID["00"].score(entry, HELD_BACK)


def test_other_entries_that_cannot_be_scored_are_refused():
    for name, entry, words in (
        ("01", lambda pixels: [3, 16], "choose one or two from 0 to 15"),
        ("01", lambda pixels: [1, 2, 3], "choose one or two"),
        ("09", lambda captions: 4, "choose from 0 to 3"),
        ("11", lambda: {"frames": 56}, "a T4 leaves 14"),
        ("11", lambda: {"framse": 8}, "frames"),
        ("12", lambda seconds, processes: [[]] * processes, "one alone"),
        ("12", lambda seconds, processes: [range(60)], "8 processes"),
    ):
        with pytest.raises(ValueError, match=words):
            BY_ID[name].score(entry, range(2))


def test_the_best_score_is_kept_and_the_first_day(kept, monkeypatch):
    from lib.exercises import progress

    for score, won in ((0.5, False), (0.9, True), (0.7, False)):
        progress.record_score("05", score, won)
    entry = json.loads(kept.read_text("utf-8"))["challenges"]["05"]
    assert entry["best"] == 0.9 and entry["won"]
    for damaged in ({"05": {"best": "much", "won": None}}, {"05": 3}, ["05"]):
        assert not progress.understood(progress.fresh() | {"challenges": damaged})


def test_a_team_sees_who_leads(tmp_path, capsys, monkeypatch):
    from lib.exercises.__main__ import main as progress_main

    for name, best in (("kim", 0.91), ("lee", 0.95)):
        data = {"version": 1, "language": None, "exercises": {}}
        data["challenges"] = {"capstone": {"best": best, "won": "2026-11-29"}, "05": {"best": 0.1, "won": None}}
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    assert progress_main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-2:]] == [["lee", "1", "0.950"], ["kim", "1", "0.910"]]


def test_the_command_shows_a_task_and_plays_a_file(tmp_path, kept, capsys):
    assert main(["challenge", "12"]) == 0
    assert "sixty shards" in capsys.readouterr().out
    file = tmp_path / "entry.py"
    file.write_text("def entry(seconds, processes):\n    return [range(r, 60, processes) for r in range(processes)]\n")
    assert main(["challenge", "12", str(file)]) == 0
    assert "The goal is" in capsys.readouterr().out
    for arguments, words in (
        (["99"], "no challenge '99': choose one of 00"),
        (["12", str(tmp_path / "none.py")], "no file"),
        (["12", __file__], "defines no function `entry`"),
    ):
        assert main(["challenge", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_kinds_are_those_of_lesson_07():
    from lib.workshop.same_budget import COMPARED_KINDS

    assert ALL_KINDS == COMPARED_KINDS


def test_a_challenge_speaks_korean():
    for challenge in CHALLENGES:
        for text in (challenge.title, challenge.task):
            assert text.en and any("가" <= letter <= "힣" for letter in text.ko)
