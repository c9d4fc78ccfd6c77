"""What importing parts of the course brings with it, in a process of its own."""

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
        ("import lib", []),
        ("from lib import colab", []),
        ("from lib import video", []),
        ("from lib import budget", []),
        ("from lib.reducers import SpatialPool; SpatialPool(2)", ["torch"]),
        ("from lib.reducers import LlamaVid, LlavaVideo, SlowFastLlava", ["torch"]),
        ("from lib import anyres, packing", ["torch"]),
    ],
)
def test_nothing_is_imported_that_is_not_used(script, imported):
    assert run(f"{script}\n{HEAVY}") == f"{imported}\n"


@pytest.mark.parametrize(
    "words, code", [(["ask", "--help"], 0), (["--help"], 0), (["ask"], 2), (["ask", "no.mp4", "?"], 2)]
)
def test_the_command_line_imports_torch_only_for_an_answer(words, code):
    script = f"""
from lib.__main__ import main
try:
    assert main({words}) == {code}
except SystemExit as stop:
    assert stop.code == {code}
"""
    assert run(f"{script}\n{HEAVY}").splitlines()[-1] == "[]"


STATE = """
import logging, warnings, transformers
from transformers.utils import logging as of_transformers
def state():
    ops = logging.getLogger("bitsandbytes.backends.cpu.ops").level
    return transformers.logging.get_verbosity(), of_transformers.is_progress_bar_enabled(), ops, any('IProgress' in str(of) for of in warnings.filters)
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


def test_a_lesson_is_quiet_before_it_imports_anything_else():
    run(STATE + "from lib import colab; before = state(); colab.set_up(); assert state() != before")
