"""What importing parts of the course brings with it, in a process of its own."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script: str) -> str:
    """What a new Python process prints on stdout and stderr together."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


HEAVY = "import sys; print([name for name in ('torch', 'transformers', 'peft', 'matplotlib') if name in sys.modules])"


@pytest.mark.parametrize(
    "script, imported",
    [
        ("from lib import budget, colab, video", []),
        ("from lib import anyres, packing; from lib.reducers import LlamaVid, SpatialPool", ["torch"]),
    ],
)
def test_nothing_is_imported_that_is_not_used(script, imported):
    assert run(f"{script}\n{HEAVY}") == f"{imported}\n"


def test_the_command_line_imports_torch_only_for_an_answer():
    script = """
from lib.__main__ import main
for words in (["ask", "--help"], ["--help"], ["ask"], ["ask", "no.mp4", "?"]):
    try:
        assert main(words) == 2
    except SystemExit as stop:
        assert "--help" in words and stop.code == 0
"""
    assert run(f"{script}\n{HEAVY}").splitlines()[-1] == "[]"


STATE = """
import logging, warnings
from transformers.utils import logging as of_transformers
def state():
    ops = logging.getLogger("bitsandbytes.backends.cpu.ops").level
    told = any("IProgress" in str(entry) for entry in warnings.filters)
    return of_transformers.get_verbosity(), of_transformers.is_progress_bar_enabled(), ops, told
"""


def test_importing_the_model_changes_nothing_of_the_process_and_loading_one_is_silent():
    script = """
before = state()
import lib.vlm
assert state() == before, (before, state())
lib.vlm.load("tiny")
assert state() != before
"""
    assert run(STATE + script) == ""


def test_importing_what_trains_is_silent_about_packages_that_the_course_does_without():
    """bitsandbytes, which peft imports, advises one on processors with bfloat16, in each process that is started."""
    level = "logging.getLogger('bitsandbytes.backends.cpu.ops').level"
    assert run(f"import logging, lib.finetune; print({level})") == f"{logging.ERROR}\n"


def test_only_what_trains_imports_what_imports_bitsandbytes():
    files = [path for path in (ROOT / "lib").rglob("*.py") if path.parent.name != "finetune"]
    files.remove(ROOT / "lib" / "vlm" / "sharded.py")  # inside a function that `vlm.load` calls once it is quiet
    pattern = re.compile(r"^\s*(?:from|import) (?:peft|trl|bitsandbytes)\b", re.MULTILINE)
    assert files and [path.name for path in files if pattern.search(path.read_text("utf-8"))] == []


def test_a_lesson_is_quiet_before_it_imports_anything_else():
    run(STATE + "from lib import colab; before = state(); colab.set_up(); assert state() != before")
