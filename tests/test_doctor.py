"""The doctor on machines that are not here: what it says of each, as lib.vlm would do; and that it tells no secret."""

import getpass
import json
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from lib import budget, vlm
from lib.known import GIB, NAMES
from lib.tools import doctor
from lib.tools.doctor import LESSONS, Machine
from notebooks import build

LAPTOP = Machine("Linux x86_64", "3.11.7", "2.13.0", cores=2, memory=8 * GIB, disk=50 * GIB)
T4 = replace(LAPTOP, card="Tesla T4", capability=(7, 5), card_bytes=int(14.75 * GIB))
L4 = replace(LAPTOP, card="NVIDIA L4", capability=(8, 9), card_bytes=22 * GIB)
H100 = replace(LAPTOP, card="NVIDIA H100", capability=(9, 0), card_bytes=79 * GIB)
MAC = replace(LAPTOP, system="Darwin arm64", memory=16 * GIB, mps=True)
MACHINES = {"laptop": LAPTOP, "T4": T4, "L4": L4, "H100": H100, "Mac": MAC}


@pytest.fixture
def pretend(monkeypatch):
    """pretend(machine): torch says what it would say there."""

    def pretend(machine):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: machine.card is not None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: machine.card)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: machine.capability)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (0, machine.card_bytes))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)  # as it does on a T4
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: machine.mps)

    return pretend


@pytest.mark.parametrize(("name", "dtype", "reason"), [
    ("laptop", "float32", "no NVIDIA GPU, and on a CPU nothing smaller is faster"),
    ("T4", "float16", "compute capability 7.5 has no bfloat16"),
    ("L4", "bfloat16", "compute capability 8.9 computes in it"),
    ("H100", "bfloat16", "compute capability 9.0 computes in it"),
    ("Mac", "float32", "Apple's GPU is not used"),
])  # fmt: skip
def test_dtype_follows_from_the_compute_capability_as_in_vlm(pretend, name, dtype, reason):
    pretend(MACHINES[name])
    found = doctor.this_machine()
    assert (found.card, found.capability, found.mps) == (
        MACHINES[name].card, MACHINES[name].capability, MACHINES[name].mps,
    )  # fmt: skip
    assert doctor.dtype(found)[0] == dtype and reason in doctor.dtype(found)[1]
    device = torch.device("cuda" if found.card else "cpu")
    assert vlm.compute_dtype(device) is getattr(torch, dtype)


@pytest.mark.parametrize(("name", "model", "precision"), [
    ("laptop", "onevision-0.5b", "float32"), ("Mac", "onevision-0.5b", "float32"), ("T4", "7b", "nf4-double"),
    ("L4", "34b", "nf4-double"), ("H100", "34b", "bfloat16"),
])  # fmt: skip
def test_the_largest_model_that_has_room(name, model, precision):
    machine = MACHINES[name]
    assert doctor.settings(machine)[:2] == (model, precision)
    lines = doctor.report_lines(machine)
    assert any(line.startswith(f"model: tiny, or {NAMES[model]} in {precision}") for line in lines)


def test_a_machine_with_little_memory_has_tiny():
    small = replace(LAPTOP, memory=2 * GIB)
    assert doctor.settings(small)[0] == "tiny"
    assert "model: tiny (no real model has room for 8 frames)" in doctor.report_lines(small)
    assert all("needs 3 GiB of memory" in line for line in doctor.lesson_lines(small))


def test_frames_are_those_of_the_plan():
    card = replace(T4, card_bytes=budget.card_bytes("T4"))
    assert doctor.frames_here(card, "7b", "nf4-double") == budget.plan("T4", "7b")
    assert any(line.startswith("frames: 25 (context binds; memory alone: 1") for line in doctor.report_lines(card))


def test_a_full_disk_is_told():
    assert any("not enough disk: 13.2 GiB to download" in line for line in doctor.report_lines(replace(T4, disk=GIB)))
    assert not any("not enough disk" in line for line in doctor.report_lines(T4))


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_fits_a_t4_with_real_weights(name):
    """What it declares covers the plan, by less than a GiB, and is at most 14.5 GiB: T4s differ, some show 14.56."""
    lesson = LESSONS[name]
    assert lesson.memory.total / GIB <= lesson.gib <= min(14.5, lesson.memory.total / GIB + 1)


def test_the_lessons_are_all_there_and_each_has_its_line():
    assert {path.stem for path in build.lessons()} <= set(LESSONS)
    assert all("runs with tiny; 7B in 4 bits runs here" in line for line in doctor.lesson_lines(T4))
    assert all("7B in 4 bits: on a GPU with" in line for line in doctor.lesson_lines(LAPTOP))
    small = replace(T4, card_bytes=8 * GIB)
    assert "7B in 4 bits needs 11.5 GiB, this card has 8.0" in "\n".join(doctor.lesson_lines(small))


def test_packages_outside_the_bounds_are_named_with_the_fix(tmp_path):
    bounds = ["numpy>=2", "torch<2", "no-such-package>=1,<2", "decord; platform_system == 'Nowhere'"]
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[project]\ndependencies = {json.dumps(bounds)}\n")
    assert doctor.package_problems(path) == [
        f"torch {version('torch')} is outside <2: install one inside",
        "no-such-package is missing: pip install 'no-such-package>=1,<2'",
    ]


def test_the_report_can_be_pasted(capsys):
    code = doctor.main()
    out = capsys.readouterr().out
    assert code == (1 if doctor.package_problems() else 0)
    for secret in (getpass.getuser() + "@", str(Path.home()), str(Path.cwd()), platform.node() or "no name"):
        assert secret not in out
    assert max(map(len, out.splitlines())) <= 140


def test_nothing_measured_is_said_so_and_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "gpu.json"
    assert doctor.measured_lines(path)[0].startswith("Not measured yet: no GPU was at hand")
    for text in ("{", "[]", '{"machine": {}, "memory": []}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="gpu.json is no report of make gpu-check: delete it"):
            doctor.measured_lines(path)


def test_what_was_measured_is_told_with_the_furthest_estimate(tmp_path):
    case = {"task": "answer", "precision": "float16", "attention": "sdpa", "frames": 8, "peak": 3 * GIB, "ratio": 0.97}
    case |= {"fits": {"T4": True}, "expected": {"T4": True}}
    wrong = case | {"peak": None, "ratio": None, "fits": {"T4": False, "L4": False}}
    machine = {"card": "Tesla T4", "date": "2026-11-21", "torch": "2.13.0"}
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps({"machine": machine, "memory": [case | {"ratio": 1.01}, case, wrong]}))
    assert doctor.measured_lines(path) == [
        "Measured on Tesla T4, 2026-11-21, torch 2.13.0: 3 cases; whether they fit a T4 and an L4 was foreseen in 2",
        "furthest from its estimate: answer, float16, sdpa, 8 frames: 3.00 GiB, 0.970 of it",
    ]
