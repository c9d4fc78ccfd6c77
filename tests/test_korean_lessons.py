"""The Korean lessons: no block that its English cell has left behind, and nothing changed but the words."""

import doctest
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib import exercises, text
from lib.exercises.challenges import CHALLENGES
from notebooks import build, korean
from notebooks.address import ROOT, address
from notebooks.korean import UNTRANSLATED, in_korean, key, read_catalogue

NAMES = [source.stem for source in build.notebooks()]
HANGUL = re.compile("[가-힣]")


@pytest.mark.parametrize("name", NAMES)
def test_no_block_is_stale(name):
    """An English cell that changed is named, with the block to renew."""
    found = korean.edition(name).stale
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_korean_notebook_is_made_of_the_english_one_and_the_catalogue(name):
    nb = nbformat.read(ROOT / "notebooks" / f"{name}.ko.ipynb", as_version=4)
    assert nb == korean.edition(name).notebook, f"run: python -m notebooks.korean {name}"
    assert build.committed_problems(nb) == []


def test_catalogues_and_korean_notebooks_belong_to_notebooks():
    assert {path.name for path in korean.CATALOGUES.glob("*")} <= {f"{name}.md" for name in NAMES}
    assert {path.name for path in build.HERE.glob("*.ko.ipynb")} == {f"{name}.ko.ipynb" for name in NAMES}
    assert not [source for source in build.notebooks() if ".ko" in source.name]  # `make course` runs the English ones


# The reader


def catalogue(tmp_path, words):
    path = tmp_path / "01_small.md"
    path.write_text(words, encoding="utf-8")
    return path


def test_blocks_are_read_in_order(tmp_path):
    words = f"\n<!-- cell {'a' * 12} -->\n# 제목\n\n| | |\n\n<!-- cell {'0' * 12} -->\n둘\n"
    assert list(read_catalogue(catalogue(tmp_path, words)).items()) == [("a" * 12, "# 제목\n\n| | |"), ("0" * 12, "둘")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"<!-- cell {'a' * 12} -->\n하나\n<!-- cell {'a' * 12} -->\n둘\n", "line 3: a second block aaaaaaaaaaaa"),
        (f"<!-- cell {'a' * 12} -->\n\n<!-- cell {'b' * 12} -->\n둘\n", "nothing in block aaaaaaaaaaaa"),
        ("서문\n<!-- cell aaaaaaaaaaaa -->\n하나\n", "line 1: text before the first block"),
        ("<!-- cell aaaaaaaaaaa -->\n하나\n", "line 1: '<!-- cell aaaaaaaaaaa -->' should be"),
        ("<!-- cell aaaaaaaaaaaa -->\n하나\n<!-- Cell bbbbbbbbbbbb -->\n둘\n", "line 3: '<!-- Cell"),
        ("<!-- cell aaaaaaaaaaaa --> 하나\n", "line 1: '<!-- cell aaaaaaaaaaaa --> 하나' should be"),
    ],
)
def test_what_is_no_block_is_one_clear_line(tmp_path, words, message):
    with pytest.raises(ValueError, match=re.escape(message)) as found:
        read_catalogue(catalogue(tmp_path, words))
    assert "\n" not in str(found.value) and "01_small.md" in str(found.value)


# A small lesson


def lesson():
    """An executed lesson of eight cells: title, summary, set-up, text, exercise, its code, challenge, link."""
    exercise, challenge = exercises.lessons()["01"].EXERCISES[0], CHALLENGES[1]
    shown = new_output("stream", name="stdout", text="42 frames\n")
    return build.normalise(new_notebook(cells=[
        new_markdown_cell(f"# 01 Small\n\n[badge](https://x/github/a/b/blob/{address()[1]}/notebooks/01_small.ipynb)"),
        new_markdown_cell("## 한국어 요약\n\n요약입니다."),
        new_code_cell("from lib import colab\n\ncolab.set_up()", metadata={"tags": ["setup"]}, execution_count=1),
        new_markdown_cell("The model reads\ntwo frames."),
        new_markdown_cell(exercise.markdown("en")),
        new_code_cell("print(42, 'frames')", execution_count=2, outputs=[shown]),
        new_markdown_cell(challenge.markdown("en")),
        new_markdown_cell("Lesson [05](05_slowfast.ipynb) goes on."),
    ]))  # fmt: skip


KOREAN = ["# 01 작은 수업\n\n[배지](https://x/github/a/b/blob/main/notebooks/01_small.ko.ipynb)",
          "모델은 프레임을 두 장 읽습니다.", "[수업 05](05_slowfast.ipynb)에서 이어집니다."]  # fmt: skip


def blocks_of(nb):
    """The Korean of its three cells of text."""
    return {key(nb.cells[number].source): words for number, words in zip((0, 3, 7), KOREAN, strict=True)}


def test_every_cell_is_korean_and_code_and_outputs_are_the_english_ones():
    english = lesson()
    made = in_korean(english, "01_small", blocks_of(english))
    assert (made.cells, made.untranslated, made.stale, made.unlike) == (5, [], [], [])
    nb = made.notebook
    assert [cell.id for cell in nb.cells] == [str(number) for number in range(7)] and nb.metadata == build.METADATA
    words = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    assert all(HANGUL.search(text) for text in words) and "요약입니다" not in "".join(words)
    assert words[2:4] == [exercises.lessons()["01"].EXERCISES[0].markdown("ko"), CHALLENGES[1].markdown("ko")]
    assert words[4] == "[수업 05](05_slowfast.ko.ipynb)에서 이어집니다." and "01_small.ko.ipynb" in words[0]
    code, code_ko = ([cell for cell in book.cells if cell.cell_type == "code"] for book in (english, nb))
    assert code_ko[0].source == 'from lib import colab\n\ncolab.set_up("ko")' != code[0].source
    assert [(cell.outputs, cell.execution_count) for cell in code] == [(c.outputs, c.execution_count) for c in code_ko]
    assert english == lesson()  # the given one stays as it is


def test_a_cell_without_a_block_stays_english_says_so_and_is_named():
    english = lesson()
    blocks = blocks_of(english)
    del blocks[key("The model reads two frames.")]
    made = in_korean(english, "01_small", blocks)
    name = key("The model reads two frames.")
    assert made.untranslated == [f'01_small, cell 3 ("The model reads two frames."): {name}'] and made.stale == []
    assert made.notebook.cells[2].source == f"The model reads\ntwo frames.\n\n{UNTRANSLATED}"


def test_a_changed_cell_makes_its_block_stale_and_both_are_named():
    english = lesson()
    blocks = blocks_of(english)
    english.cells[3].source = "The model reads three frames, and not one of them twice."
    made = in_korean(english, "01_small", blocks)
    new, old = key(english.cells[3].source), key("The model reads two frames.")
    assert made.stale == [
        f'01_small, cell 3 ("The model reads three frames, and ...") changed since its Korean block {old} ("모델은 '
        f'프레임을 두 장 읽습니다.") was written. Fix: translate what changed, and write {new} in place of {old}'
    ]
    assert len(made.untranslated) == 1 and made.notebook.cells[2].source.startswith("The model reads three")


def test_a_block_of_a_cell_that_is_gone_is_to_be_deleted():
    english = lesson()
    blocks = blocks_of(english)
    del english.cells[3]
    (line,) = in_korean(english, "01_small", blocks).stale
    assert "block" in line and "belongs to no cell. Fix: delete it" in line and "모델은" in line


def test_a_number_or_a_heading_that_only_the_english_has_is_to_be_looked_at():
    english = lesson()
    english.cells[3].source = "## 2. Frames\n\nThe model reads 16 frames."
    blocks = {key(english.cells[3].source): "## 2. 프레임\n\n모델은 프레임 61장을 읽습니다."}
    (line,) = in_korean(english, "01_small", blocks).unlike
    assert line == '01_small, cell 3 ("## 2. Frames The model reads ..."): the Korean has no 16'


def test_a_release_or_a_fork_makes_no_block_stale(monkeypatch):
    here = key(lesson().cells[0].source)
    monkeypatch.setattr(korean, "address", lambda: ("a/b", "v1.0"))
    assert key(lesson().cells[0].source.replace("/blob/main/", "/blob/v1.0/")) == here


def test_the_examples_in_its_docstrings_run():
    assert doctest.testmod(korean) == (0, 3)


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A course of one lesson, with its catalogue."""
    (tmp_path / "notebooks" / "ko").mkdir(parents=True)
    monkeypatch.setattr(build, "HERE", tmp_path / "notebooks")
    monkeypatch.setattr(korean, "CATALOGUES", tmp_path / "notebooks" / "ko")
    english = lesson()
    (tmp_path / "notebooks" / "01_small.py").write_text("# %% [markdown]\n# # Small\n")
    nbformat.write(english, tmp_path / "notebooks" / "01_small.ipynb")
    return tmp_path / "notebooks"


def written(blocks):
    return "\n\n".join(f"<!-- cell {one} -->\n{words}" for one, words in blocks.items()) + "\n"


def test_the_command_writes_and_counts(folder, capsys):
    (folder / "ko" / "01_small.md").write_text(written(blocks_of(lesson())), encoding="utf-8")
    assert korean.main([]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["01_small", "5", "5", "0"]
    first = (folder / "01_small.ko.ipynb").read_bytes()
    assert nbformat.reads(first.decode(), 4) == korean.edition("01_small").notebook
    assert korean.main(["01_small"]) == 0 and (folder / "01_small.ko.ipynb").read_bytes() == first


def test_the_command_names_what_is_missing_and_fails_for_what_is_stale_or_wrong(folder, capsys):
    assert korean.main([]) == 0  # no catalogue yet
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["01_small", "2", "5", "0"] and len(lines) == 5
    blocks = blocks_of(lesson())
    stale = {"0" * 12 if number == 1 else one: words for number, (one, words) in enumerate(blocks.items())}
    for words, code, line in (
        (written(dict(list(blocks.items())[:2])), 0, 'not translated: 01_small, cell 7 ("Lesson [05]'),
        (written(stale), 1, 'stale: 01_small, cell 3 ("The model reads two frames.") changed'),
        ("<!-- cell 0 -->\n", 1, "error: notebooks/ko/01_small.md, line 1: '<!-- cell 0 -->' should be"),
    ):
        (folder / "ko" / "01_small.md").write_text(words, encoding="utf-8")
        assert korean.main([]) == code
        assert line in capsys.readouterr().out
    assert korean.main(["02_none"]) == 2 and "no lesson called 02_none" in capsys.readouterr().err


# A learner in a Korean notebook


def learner(code, **environment):
    """What Python prints, in the notebooks' folder, with these variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("F2T_", "LC_", "LANG"))}
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    here = plain | {"PYTHONUTF8": "1"} | environment
    return subprocess.run(command, env=here, capture_output=True, text=True, check=True, encoding="utf-8").stdout


TRY = """
from lib import colab, exercises
colab.set_up("ko")
exercises.get("00.sequence").check(...)
exercises.language("en")
exercises.get("00.sequence").check(7)
colab.set_up("ko")
exercises.get("00.sequence").check(...)
"""


def test_a_korean_notebook_speaks_korean_and_the_learners_choice_is_kept(tmp_path):
    file = tmp_path / "progress.json"
    choice = {"version": 1, "language": "en", "exercises": {}}
    file.write_text(json.dumps(choice))
    only_korean = TRY.split("exercises.language")[0]
    assert learner(only_korean, F2T_PROGRESS=str(file)).startswith("00.sequence: 아직 풀지 않았습니다.")
    assert json.loads(file.read_text()) == choice  # the English notebooks go on in English
    lines = learner(TRY, F2T_PROGRESS=str(file)).splitlines()
    assert lines[1] == "Hints and verdicts come in English now."
    assert lines[2].startswith("### Exercise 00.sequence")  # the notebook shows it in Korean
    assert any(line.startswith("00.sequence: not yet.") for line in lines)
    assert lines[-1].startswith("00.sequence: not attempted yet")  # a second set-up changes nothing
    assert learner(only_korean, F2T_PROGRESS="off", F2T_LANGUAGE="en").startswith("### Exercise 00.sequence")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko_KR"}, "ko"),
        ({"LANG": "kok_IN"}, "en"),  # Konkani
        ({"LANG": "ko_KR.UTF-8", "F2T_LANGUAGE": "en"}, "en"),
        ({"LANG": "en_US", "F2T_LANGUAGE": "ko"}, "ko"),
        ({"LANG": "ko_KR", "F2T_LANGUAGE": "xx"}, "ko"),
    ],
)
def test_the_variable_decides_and_else_the_locale(monkeypatch, environment, language):
    for name in ("F2T_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert text.spoken() == language
    assert text.Text("one", "하나").say() == {"en": "one", "ko": "하나"}[language]
