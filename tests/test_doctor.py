"""The doctor on machines that are not here: what it says of each, as lib.vlm would do; and that it tells no secret."""

import getpass
import json
import platform
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from lib import budget, vlm
from lib.budget.specs import MODELS
from lib.known import GIB, NAMES
from lib.tools import doctor
from lib.tools.doctor import Machine

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
    ("laptop", "float32", "no NVIDIA GPU, and no smaller type is faster on a CPU"),
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
    assert "lessons: need 3 GiB of memory" in doctor.report_lines(small)
    assert "lessons: all run with tiny" in doctor.report_lines(LAPTOP)


def test_frames_are_those_of_the_plan():
    card = replace(T4, card_bytes=budget.card_bytes("T4"))
    assert doctor.frames_here(card, "7b", "nf4-double") == budget.plan("T4", "7b")
    assert any(line.startswith("frames: 25 (context binds; memory alone: 1") for line in doctor.report_lines(card))


def test_a_full_disk_is_told():
    assert any("not enough disk: 13.2 GiB to download" in line for line in doctor.report_lines(replace(T4, disk=GIB)))
    assert not any("not enough disk" in line for line in doctor.report_lines(T4))


def jobs_on(machine):
    """What is said of each job: the word behind its name."""
    lines = [re.fullmatch(r"jobs/(.+)\.yaml: (fits|needs a GPU|needs a larger GPU), a step .*", line) for line in
             doctor.job_lines(machine)[:-1]]  # fmt: skip
    return {line[1]: line[2] for line in lines}


@pytest.mark.parametrize(("machine", "said"), [
    (LAPTOP, {"34b-4xa100": "needs a GPU", "7b-l4": "needs a GPU", "7b-t4": "needs a GPU"}),
    (T4, {"34b-4xa100": "needs a larger GPU", "7b-l4": "fits", "7b-t4": "fits"}),
    (replace(T4, card_bytes=8 * GIB), dict.fromkeys(("34b-4xa100", "7b-l4", "7b-t4"), "needs a larger GPU")),
    (H100, dict.fromkeys(("34b-4xa100", "7b-l4", "7b-t4"), "fits")),
], ids=["laptop", "T4", "8 GiB", "H100"])  # fmt: skip
def test_each_qlora_job_has_its_line(machine, said):
    assert jobs_on(machine) == said
    assert doctor.job_lines(machine)[-1].endswith("python -m lib plan jobs/7b-t4.yaml")


def test_a_job_is_planned_with_its_own_settings(tmp_path, monkeypatch):
    """By the formula that the trace is held to, on a mean caption of AI-Hub's."""
    text = (doctor.ROOT / "jobs" / "7b-t4.yaml").read_text()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "mine.yaml").write_text(text + "attention: eager\n")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    need = budget.training(MODELS["7b"], 8, attention="eager", answer=932, rank=16, checkpointing=True)
    assert doctor.job_lines(T4)[0].endswith(f" a step of training takes {need.total / GIB:.1f} GiB")


def test_packages_outside_the_bounds_are_named_with_the_fix(tmp_path):
    bounds = [
        "numpy>=2",
        "sacrebleu[ko]>=2",
        "torch<2",
        "no-such-package>=1,<2",
        "decord; platform_system == 'Nowhere'",
    ]
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
        with pytest.raises(ValueError, match="gpu.json is not a report of make gpu-check: delete it"):
            doctor.measured_lines(path)


def test_what_was_measured_is_told_with_the_furthest_estimate(tmp_path):
    case = {"task": "answer", "precision": "float16", "attention": "sdpa", "frames": 8, "peak": 3 * GIB, "ratio": 0.97}
    case |= {"fits": {"T4": True}, "expected": {"T4": True}}
    wrong = case | {"peak": None, "ratio": None, "fits": {"T4": False, "L4": False}}
    machine = {"card": "Tesla T4", "date": "2026-11-21", "torch": "2.13.0"}
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps({"machine": machine, "memory": [case | {"ratio": 1.01}, case, wrong]}))
    assert doctor.measured_lines(path) == [
        "Measured on Tesla T4, 2026-11-21, torch 2.13.0: 3 cases; fit on a T4 and an L4 predicted correctly for 2",
        "furthest from its estimate: answer, float16, sdpa, 8 frames: 3.00 GiB, 0.970 of it",
    ]
