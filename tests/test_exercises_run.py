"""An answer that misbehaves gets one sentence; what is solved is remembered, and a bad file is kept aside."""

import itertools
import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from lib import exercises
from lib.exercises import __main__, progress
from notebooks import build

COUNT = exercises.get("00.visual_tokens")
SPLICE = exercises.get("04.splice")
LENGTH = exercises.get("00.sequence")
CHOICE = exercises.get("00.interval")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A progress file of a learner who has none yet; English unless chosen otherwise."""
    monkeypatch.setenv("F2T_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("F2T_LANGUAGE")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")  # no Korean locale
    return tmp_path / "progress.json"


# Answers that misbehave


def for_ever(*arguments):
    while True:
        pass


def many_lines(*arguments):
    while True:
        print("line")


def endless(*arguments):
    return itertools.count()


def asleep(*arguments):
    time.sleep(60)


@contextmanager
def pressed():
    """The stop button of a kernel, pressed after a fifth of a second: it sends SIGINT to the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    try:
        yield
        timer.join()
    except KeyboardInterrupt:
        pytest.fail("the check did not catch the interrupt, or ended before it")


def deep(*arguments):
    return deep(*arguments) + 1


def quits(*arguments):
    sys.exit(1)


def raises(*arguments):
    raise ValueError("no\nsuch " + "thing " * 100)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (raises, "Your code raised ValueError: no such thing"),
        (deep, "RecursionError"),
        (quits, "SystemExit"),
        (lambda frames: 7, "positional argument"),
        (lambda *arguments: print(end=""), "returns nothing"),
        (lambda *arguments: "1152", "this is a str"),
        (lambda *arguments: {"tokens": 7}, "this is a dict"),
        (lambda *arguments: [[1], [2, 3]], "differ in length"),
        (lambda *arguments: [1, 2], "should have shape (); yours has (2,)"),
        (lambda *arguments: True, "this is a bool"),
        (lambda *arguments: 1j, "this is a complex"),
        (lambda *arguments: float("nan"), "it should be 1152; yours is nan"),
        (endless, "should have shape ()"),
        (7, "Pass the function itself, my_visual_tokens"),
        ("text", "Pass the function itself"),
    ],
)
def test_answer_that_misbehaves_gets_one_sentence(answer, words, capsys):
    COUNT.check(answer)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("00.visual_tokens: not yet. ") and words in printed.out
    assert printed.out.count("\n") == 1 and len(printed.out) < 400


@pytest.mark.parametrize("answer", [for_ever, asleep, many_lines])
def test_stop_button_ends_a_check_in_one_line_and_nothing_is_recorded(answer, file, capsys):
    with pressed():
        COUNT.check(answer)
    printed = capsys.readouterr()
    assert printed.out == "00.visual_tokens: stopped, and not counted. Does a loop never end?\n" and printed.err == ""
    assert not file.exists() and COUNT.or_lib(answer) is COUNT.answer


def test_stopped_check_leaves_what_was_recorded_before(file):
    COUNT.check(lambda *arguments: 7)
    before = file.read_bytes()
    with pressed():
        COUNT.check(for_ever)
    assert file.read_bytes() == before


def test_stop_button_says_it_in_korean(file, capsys):
    exercises.language("ko")
    with pressed():
        COUNT.check(for_ever)
    assert "중단했습니다" in capsys.readouterr().out


def test_a_thousand_lines_become_a_note(capsys):
    def chatty(*arguments):
        for number in range(1000):
            print("line", number)
            print("x" * 1000, file=sys.stderr)
        return COUNT.answer(*arguments)

    COUNT.check(chatty)
    out = capsys.readouterr().out
    assert out == "00.visual_tokens: right! (Your code printed 10000 lines; the first: line 0)\n"


def test_error_names_the_line_of_the_learners_code():
    names = {}
    exec(compile("def mine(*arguments):\n    x = 1\n    return x / 0\n", "/tmp/ipykernel_7/cell.py", "exec"), names)
    assert COUNT.judge(names["mine"]).text.en == "Your code raised ZeroDivisionError: division by zero (line 3)."


def test_function_that_changes_its_input_is_told_so():
    def overwrites(words, visual, at):
        result = SPLICE.answer(words, visual, at)
        words[at] = 0
        return result

    assert "changes its input" in SPLICE.judge(overwrites).text.en


def test_a_wrong_value_is_shown_with_its_place():
    def off(words, visual, at):
        result = SPLICE.answer(words, visual, at).clone()
        result[1, 2] += 1
        return result

    text = SPLICE.judge(off).text.en
    assert text.startswith("For words of shape (7, 4), visual of shape (5, 4), at = 2, [1, 2]: it should be ")


def test_an_error_in_a_later_case_does_not_hide_the_mistake_of_an_earlier_one():
    def fails_late(frames, pixels, patch, stride):
        if stride == 3:
            raise RuntimeError("late")
        return pixels // patch // stride * frames

    assert "one row of each frame" in COUNT.judge(fails_late).text.en


def test_mistake_in_an_edge_case_alone_is_recognised():
    def edge(context, per_frame, prompt, answer):
        return (context - prompt - answer) // per_frame

    assert "not negative" in exercises.get("02.max_frames").judge(edge).text.en


def stub(frames, pixels, patch, stride):
    """With a docstring."""
    ...  # your code


def not_yet(frames, pixels, patch, stride):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [..., None, NotImplemented, stub, not_yet, lambda *arguments: ...])
def test_untouched_is_not_attempted(answer, capsys, file):
    COUNT.check(answer)
    assert capsys.readouterr().out.startswith("00.visual_tokens: not attempted yet. When you get stuck: ex.hint(1)")
    assert not file.exists()


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        (LENGTH, "1163", "this is a str"),
        (LENGTH, [1163, 2], "Pass one number: this has 2"),
        (LENGTH, lambda: 1163, "this is a function"),
        (LENGTH, float("nan"), "more than that"),
        (CHOICE, "b", "a letter and a digit"),
        (CHOICE, 1, "a letter and a digit"),
        (CHOICE, "d1", "a letter and a digit"),
        (CHOICE, ["b1", "a2"], "a letter and a digit"),
    ],
)
def test_numbers_and_choices_of_the_wrong_form(exercise, answer, words):
    verdict = exercise.judge(answer)
    assert verdict.state == "wrong" and words in verdict.text.en


@pytest.mark.parametrize("answer", [np.float64(1163), torch.tensor(1163), [1163], np.array([[1163]])])
def test_one_number_may_come_in_any_form(answer):
    assert LENGTH.judge(answer).state == "right"


def test_or_lib_is_mine_only_when_the_last_check_found_it_right():
    def mine(*arguments):
        return COUNT.answer(*arguments)

    assert COUNT.or_lib(mine) is COUNT.answer
    COUNT.check(mine)
    assert COUNT.or_lib(mine) is mine and COUNT.or_lib(stub) is COUNT.answer
    COUNT.check(stub)
    assert COUNT.or_lib(mine) is COUNT.answer and SPLICE.or_lib(mine) is SPLICE.answer


def test_hints_have_two_levels_and_solution_a_reason(capsys):
    for call in (COUNT.hint, lambda: COUNT.hint(2), lambda: COUNT.hint(3), COUNT.solution):
        call()
    out = capsys.readouterr().out
    assert "First the patches" in out and "12 * 12 = 144" in out and "There are two hints" in out
    assert "def my_visual_tokens(frames, pixels, patch, stride):" in out and COUNT.why.en in out


def test_unknown_exercise_names_those_of_its_lesson():
    with pytest.raises(ValueError, match=r"choose one of 00\.visual_tokens, 00\.sequence"):
        exercises.get("00.tokens")
    with pytest.raises(ValueError, match=r"choose one of 00, 01"):
        exercises.get("99.tokens")


# Progress


def test_tries_are_counted_until_solved_and_a_solved_one_stays(file):
    for answer in (7, 8, 1163, 9):
        LENGTH.check(answer)
    data = json.loads(file.read_text())
    assert data["exercises"] == {"00.sequence": {"tries": 3, "solved": data["exercises"]["00.sequence"]["solved"]}}
    assert time.strptime(data["exercises"]["00.sequence"]["solved"], "%Y-%m-%d")
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_nothing_is_read_or_written_where_progress_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PROGRESS_FILE", tmp_path / "progress.json")
    LENGTH.check(1163)
    assert progress.path() is None and not list(tmp_path.iterdir())
    (tmp_path / "progress.json").write_text("damaged")
    assert progress.load_progress() == progress.fresh() and len(list(tmp_path.iterdir())) == 1


def test_by_default_the_file_lies_in_the_root_and_git_ignores_it(monkeypatch):
    monkeypatch.delenv("F2T_PROGRESS")
    assert progress.path() == build.HERE.parent / "progress.json" and __main__.PICTURE.parent == build.HERE.parent
    ignored = (build.HERE.parent / ".gitignore").read_text().split()
    assert {"/progress*.json", "/progress.png"} <= {*ignored}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"version": 2, "language": null, "exercises": {}}',
        b'{"version": 1, "language": "fr", "exercises": {}}',
        b'{"version": 1, "language": null, "exercises": []}',
        b'{"version": 1, "language": null, "exercises": {"00.sequence": {"tries": "many", "solved": null}}}',
        b'{"version": 1, "language": null, "exercises": {"00.sequence": 3}}',
        b"[" * 100_000,
    ],
)
def test_file_that_cannot_be_understood_is_kept_aside_and_that_is_said(file, content, capsys):
    file.write_bytes(content)
    LENGTH.check(1163)
    out = capsys.readouterr().out
    assert out.count("progress.json could not be understood") == 1 and "kept as progress.kept-1.json" in out
    assert (file.parent / "progress.kept-1.json").read_bytes() == content
    assert json.loads(file.read_text())["exercises"]["00.sequence"]["tries"] == 1


def test_what_was_kept_aside_is_never_overwritten(file):
    for _ in range(3):
        file.write_text("damaged")
        progress.load_progress()
    assert len(list(file.parent.glob("progress.kept-*.json"))) == 3


def test_progress_that_cannot_be_saved_is_one_sentence(file, capsys):
    file.mkdir()
    LENGTH.check(1163)
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("Your progress could not be saved: ") and "right!" in out.splitlines()[-1]


def test_interrupted_write_leaves_the_old_file(file, monkeypatch):
    LENGTH.check(7)
    before = file.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError("power cut")))
    LENGTH.check(1163)
    assert file.read_bytes() == before


# Language


def test_in_korean_an_exercise_shows_its_statement_by_itself(file, capsys):
    exercises.get("00.sequence")
    assert capsys.readouterr().out == ""
    exercises.language("ko")
    capsys.readouterr()
    exercises.get("00.sequence")
    assert capsys.readouterr().out.startswith("### 연습 문제 00.sequence: 시퀀스의 길이")


def test_language_is_switched_remembered_and_overruled(file, monkeypatch, capsys):
    exercises.language("ko")
    LENGTH.check(1164)
    LENGTH.hint(1)
    LENGTH.statement()
    CHOICE.solution()
    out = capsys.readouterr().out
    assert "아직 정답이 아닙니다. `<video>` 자체는 남지 않습니다." in out and "한 시퀀스에 놓입니다" in out
    assert "### 연습 문제 00.sequence: 시퀀스의 길이" in out and "난이도 ●○○○○" in out and "달라지는 것은 클립" in out
    assert json.loads(file.read_text())["language"] == "ko"
    monkeypatch.delenv("F2T_LANGUAGE")  # another session
    assert progress.current_language() == "ko"
    monkeypatch.setenv("F2T_LANGUAGE", "en")
    assert progress.current_language() == "en"
    monkeypatch.setenv("F2T_LANGUAGE", "xx")  # no language of ours
    assert progress.current_language() == "ko"


def test_unknown_language_is_refused(file):
    with pytest.raises(ValueError, match="choose one of en, ko"):
        exercises.language("fr")


# Pictures and reports


def test_report_and_picture_show_what_is_solved(file, monkeypatch, tmp_path, capsys):
    COUNT.check(COUNT.answer)
    LENGTH.check(7)
    monkeypatch.setattr(__main__, "PICTURE", tmp_path / "progress.png")
    capsys.readouterr()
    assert __main__.main([]) == 0
    out = capsys.readouterr().out
    assert "00 Start here                ■ ◪ □" in out and "1 of" in out
    assert "next: 00.sequence, the length of the sequence (3 minutes)" in out and out.endswith("progress.png\n")
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")
    full = sum(patch.get_height() == 0.4 for patch in exercises.picture().axes[0].patches)
    assert full == 1  # one is tried


def test_where_nothing_can_be_written_the_report_is_shown_all_the_same(file, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(__main__, "PICTURE", tmp_path / "no such folder" / "progress.png")
    assert __main__.main([]) == 2
    told = capsys.readouterr()
    assert "00 Start here" in told.out and told.err.startswith("error: ") and told.err.count("\n") == 1
    assert "progress.png" in told.err


def test_switched_off_nothing_is_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("F2T_PROGRESS", "off")
    monkeypatch.setattr(__main__, "PICTURE", tmp_path / "progress.png")
    assert __main__.main([]) == 0
    assert "00 Start here" in capsys.readouterr().out and list(tmp_path.iterdir()) == []


def test_picture_in_korean_has_all_its_letters(file):
    exercises.language("ko")
    COUNT.check(COUNT.answer)
    figure = exercises.picture()
    assert figure._repr_png_().startswith(b"\x89PNG")  # a missing glyph would warn, and a warning is an error
    assert "문제 해결" in figure.axes[0].get_title() and "시작하기" in figure.axes[0].get_yticklabels()[0].get_text()


def test_report_of_a_learner_who_has_solved_all_has_no_next(file):
    solved = {
        exercise.id: {"tries": 1, "solved": "2026-11-21"}
        for lesson in exercises.lessons().values()
        for exercise in lesson.EXERCISES
    }
    assert "next" not in exercises.report({"exercises": solved}) and "□" not in exercises.report({"exercises": solved})


def test_team_is_summed_and_foreign_files_are_left_out(tmp_path, monkeypatch, capsys):
    entry = {"tries": 1, "solved": "2026-11-21"}
    for name, solved in (("kim.json", ["00.sequence", "00.interval"]), ("lee/progress.json", ["04.pool"])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = {"version": 1, "language": None, "exercises": dict.fromkeys(solved, entry)}
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "notes.json").write_text("{}")
    monkeypatch.setenv("F2T_PROGRESS", str(tmp_path / "mine.json"))
    monkeypatch.setattr(__main__, "PICTURE", tmp_path / "progress.png")
    assert __main__.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "notes.json is no progress file of this version: left out."
    every = sum(len(lesson.EXERCISES) for lesson in exercises.lessons().values())
    assert lines[1].split()[:2] == ["00", "01"] and lines[1].endswith(f"of {every}")
    assert lines[2].split() == ["kim", "2", *["0"] * (len(exercises.lessons()) - 1), "2"]
    assert lines[3].split()[:6] == ["lee", "0", "0", "0", "0", "1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kim.json", "lee", "notes.json", "progress.png"]


@pytest.mark.parametrize("name", ["", "missing"])
def test_folder_without_progress_files_is_one_clear_line(tmp_path, name, capsys):
    assert __main__.main([str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("error: no progress file in ")


# In a notebook


def test_in_a_kernel_an_endless_answer_is_stopped_and_the_kernel_lives_on(file, tmp_path):
    cells = [
        "import os\nimport signal\nimport threading\n\nfrom lib import exercises",
        "ex = exercises.get('00.visual_tokens')\n\ndef mine(*arguments):\n    while True:\n        pass\n",
        "threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()\nex.check(mine)",
        "ex.check(lambda f, p, q, s: f * (p // q // s) ** 2)",
        "exercises.picture()",
    ]
    nb = build.normalise(new_notebook(cells=[new_code_cell(cell) for cell in cells]))
    for part in ("lib", "data"):
        (tmp_path / part).symlink_to(build.HERE.parent / part)
    NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    stopped, solved, picture = (cell.outputs[0] for cell in nb.cells[2:])
    assert stopped.text == "00.visual_tokens: stopped, and not counted. Does a loop never end?\n"
    assert solved.text == "\x1b[32m00.visual_tokens: right!\x1b[0m\n"
    assert "image/png" in picture.data and build.run_problems(nb) == []
    assert json.loads(file.read_text())["exercises"]["00.visual_tokens"]["tries"] == 1
