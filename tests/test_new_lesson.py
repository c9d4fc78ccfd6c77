"""The first draft of a lesson has what every lesson needs, and runs; a name or title that cannot be writes nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from notebooks import build, new_lesson
from notebooks.address import address

ROOT = Path(__file__).resolve().parent.parent
NAME = "99_time_tokens"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A copy of the course with the first lesson alone."""
    for part in ("lib", "data"):
        (tmp_path / part).symlink_to(ROOT / part)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(build.lessons()[0], tmp_path / "notebooks")
    monkeypatch.setattr(build, "HERE", tmp_path / "notebooks")
    return tmp_path / "notebooks"


def set_up(path):
    return [cell.source for cell in build.read_source(path).cells if "setup" in cell.metadata.get("tags", [])]


def test_a_new_lesson_passes_the_checks_of_a_lesson_and_runs(notebooks, capsys):
    assert new_lesson.main([NAME, 'Time "tokens"']) == 0
    assert capsys.readouterr().out.startswith(f"notebooks/{NAME}.py is there")
    first, source = build.lessons()
    assert source == notebooks / f"{NAME}.py"
    nb = build.read_source(source)
    assert build.lesson_problems(nb) == []
    assert nb.cells[0].source.startswith('# 99 Time "tokens"\n')
    assert set_up(source) == set_up(first)
    run = build.build(source, source.with_suffix(".ipynb"))
    assert run.error is None
    executed = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert build.pair_problems(nb, executed) == []
    printed = [output.text for cell in executed.cells for output in cell.get("outputs", []) if "text" in output]
    assert printed[0] == "tokens of 16 frames: no guess yet, measured 256\nby hand and lib: equal\n"
    assert printed[1].startswith("No guesses yet") and len(printed) == 2


def test_it_names_the_address_of_the_course_and_its_code_is_clean(notebooks):
    new_lesson.main([NAME, "Time tokens"])
    text, (repository, tag) = (notebooks / f"{NAME}.py").read_text(), address()
    badges = re.findall(r"https://colab\.research\.google\.com/github/([^)\s]+)", text)
    assert badges == [f"{repository}/blob/{tag}/notebooks/{NAME}.ipynb"]
    assert f"git clone -q --depth 1 --branch {tag} https://github.com/{repository} " in text
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", f"notebooks/{NAME}.py", "-"]
    done = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "is no lesson"),
        (["", "Title"], "is no lesson"),
        (["99", "Title"], "is no lesson"),
        (["9_slug", "Title"], "is no lesson"),
        (["99-slug", "Title"], "is no lesson"),
        (["99_Slug", "Title"], "is no lesson"),
        (["99_", "Title"], "is no lesson"),
        (["../99_slug", "Title"], "is no lesson"),
        (["99_slug\n", "Title"], "is no lesson"),
        ([NAME], "a title of one line"),
        ([NAME, "  "], "a title of one line"),
        ([NAME, "One\n# Two"], "a title of one line"),
        (["00_start_here", "Start here"], "there is notebooks/00_start_here.py: choose another number than 00"),
        (["00_another", "Another"], "there is notebooks/00_start_here.py: choose another number than 00"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(notebooks, capsys, arguments, words):
    before = {path.name: path.read_bytes() for path in notebooks.iterdir()}
    assert new_lesson.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in notebooks.iterdir()} == before


def test_what_was_run_already_is_not_written_over(notebooks, capsys):
    (notebooks / f"{NAME}.ipynb").write_text("a notebook without a source")
    assert new_lesson.main([NAME, "Time tokens"]) == 2
    assert f"there is notebooks/{NAME}.ipynb" in capsys.readouterr().err
    assert not (notebooks / f"{NAME}.py").exists()
