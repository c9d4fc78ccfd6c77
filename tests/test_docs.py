"""What the pages tell people to open and to run is there: each path, `make` target, module and name in their code."""

import json
import re
from dataclasses import MISSING, fields
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lib.data.formats import RecordMeaning, meaning
from lib.job.settings import Job

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("CONTRIBUTING.md", "README.md", "README.ko.md", "docs/job.md")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
IGNORED = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line]  # made by commands
WRITTEN = {  # by `make gpu-check`, where there is a GPU; by a job; by a learner
    "data/measured/gpu.json", "report.md", "scores.json", "adapter/base.json", "entry.py",
}  # fmt: skip
PLACEHOLDERS = {"NN": "[0-9][0-9]", "slug": "*", "NAME": "*"}
SUFFIXES = {".py", ".md", ".ipynb", ".toml", ".cff", ".lock", ".txt", ".yml", ".csv", ".json", ".npz", ".bib", ".html"}
FENCE = re.compile(r"^ *```.*?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def snippets(text):
    """The code of a page: blocks between fences, and words between backticks."""
    return [*FENCE.findall(text), *re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def paths(snippet):
    """The words that name a file or a folder of the repository, or look as if they did."""
    words = [word for word in snippet.split() if re.fullmatch(r"\.?\w[\w.*-]*(/[\w.*-]+)*/?", word)]
    alone = len(snippet.split()) == 1
    here = {path.name for path in ROOT.iterdir()}
    return [w for w in words if Path(w).suffix in SUFFIXES or w.split("/")[0] in here or (alone and "/" in w)]


def is_there(path):
    pattern = path.strip("/")
    if pattern in WRITTEN or any(fnmatch(pattern, rule) or pattern.startswith(f"{rule}/") for rule in IGNORED):
        return True
    for name, stands_for in PLACEHOLDERS.items():
        pattern = pattern.replace(name, stands_for)
    return any(ROOT.glob(pattern))


def missing(text):
    """What a page names that is not there."""
    found = []
    for snippet in snippets(text):
        found += [path for path in paths(snippet) if not is_there(path)]
        found += [f"make {target}" for target in re.findall(r"\bmake ([a-z][a-z-]*)", snippet) if target not in TARGETS]
        modules = re.findall(r"-m ((?:lib|notebooks|tests)[\w.]*)", snippet)
        found += [name for name in modules if not is_there(f"{name.replace('.', '/')}*")]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_everything_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len([path for snippet in snippets(text) for path in paths(snippet)]) > 10
    assert missing(text) == []


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("`lib/video.py`, `lib`, `data/measured/`, `.ci/run`", []),
        ("`lib/vlms.py` and `libs/vlm`", ["lib/vlms.py", "libs/vlm"]),
        ("`notebooks/NN_slug.py`, `tests/golden/NAME_0.npz`", []),
        ("`tests/answer/lesson_NN.py`", ["tests/answer/lesson_NN.py"]),
        ("`course/`, `progress.json`, `.venv/bin/python -m pytest tests/test_docs.py`", []),
        ("`.venv/bin/python -m pytest tests/test_doc.py`", ["tests/test_doc.py"]),
        ("`make test`, `make notebooks NAME=04_llava_next_video`", []),
        ("`make tests`", ["make tests"]),
        ("1. So:\n\n   ```\n   make test   # lib/none.py\n   make all\n   ```\n", ["lib/none.py", "make all"]),
        ("`python -m lib.tools.doctor`, `python -m notebooks.new_lesson`, `python -m lib.exercises`", []),
        ("`python -m lib.doktor`", ["lib.doktor"]),
        ("make sure that lib/none.py is no code; `make` alone, `git tag v1.0`, `--branch a/b`", []),
    ],
)
def test_what_is_not_there_is_found(text, lacking):
    assert missing(text) == lacking


def test_every_test_and_name_that_contributing_tells_to_change_exists():
    """`reducer_for` in `tests/test_reducers.py` and the like: names without a path, which must stand in the code."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = {name for name in re.findall(r"`([a-zA-Z_]\w{5,})`", FENCE.sub("", text))}
    folders = ("lib", "tests", "notebooks")
    code = "\n".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert "reducer_for" in names and "TRAINING_SECONDS" in names
    assert [name for name in names if not re.search(rf"^(?:    )?(?:def |class )?{name}\b", code, re.MULTILINE)] == []


def row(setting):
    """A row of the table of settings: name, default, meaning."""
    made = setting.default_factory() if setting.default_factory is not MISSING else setting.default
    default = "" if made is MISSING else f"`{json.dumps(made)}`"
    return f"| `{setting.name}` | {default} | {setting.metadata['help']} |"


JOB_PAGE = (ROOT / "docs" / "job.md").read_text(encoding="utf-8")


def test_the_page_of_the_job_has_every_setting_as_it_is():
    table = "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *map(row, fields(Job))])
    assert table + "\n\n" in JOB_PAGE, f"docs/job.md needs this table:\n\n{table}"


def test_the_records_on_the_page_of_the_job_are_read():
    records = [json.loads(block) for block in FENCE.findall(JOB_PAGE) if block.startswith("{")]
    read = [meaning(record) for record in records]
    assert read == [RecordMeaning("a.mp4", prompt, "A dog runs.") for prompt in ("", "Describe.", "Describe.")]
