"""What importing parts of the course brings with it, in a process of its own."""

import logging
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


@pytest.mark.parametrize("module", ["lib.workshop.korean", "lib.workshop.dpo_habit", "lib.finetune.processes"])
def test_the_command_line_is_silent_about_packages_that_the_course_does_without(module):
    """`python -m` sets argv[0] to "-m" while it imports a module's packages. Then bitsandbytes advises nothing."""
    level = "logging.getLogger('bitsandbytes.backends.cpu.ops').level"
    assert run(f"import logging, sys; sys.argv[0] = '-m'; import {module}; print({level})") == f"{logging.ERROR}\n"


def test_a_lesson_is_quiet_before_it_imports_anything_else():
    run(STATE + "from lib import colab; before = state(); colab.set_up(); assert state() != before")
