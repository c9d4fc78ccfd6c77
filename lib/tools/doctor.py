"""What runs on this machine, and with which settings: `make doctor`, or python -m lib.tools.doctor.

Looks at the card and its compute capability, memory, disk, and the packages against the bounds of pyproject.toml; says
whether the lessons run here, with which model, frames and dtype, and why, and which of the jobs fit. The block can be
pasted into a bug report: no path, no user's and no machine's name is in it.
"""

import json
import platform
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from transformers.utils.versions import require_version

from lib import budget
from lib.budget.cards import CAPTION
from lib.budget.specs import MODELS
from lib.files import ROOT
from lib.job.settings import read_job
from lib.known import GIB, HUB_IDS, NAMES
from lib.machine import cores, total_memory
from lib.vlm.hub import cache_disk
from lib.vlm.loading import dtype_of

MEASURED = ROOT / "data" / "measured" / "gpu.json"
SMALLEST = 3.0  # GiB: what a lesson with the tiny model may need (notebooks/build.py)
ASK = "frames, batch and hours on every card: python -m lib plan jobs/7b-t4.yaml"


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True)
class Machine:
    """What was found. Sizes in bytes; `capability` and `card_bytes` are those of the first NVIDIA GPU.

    `cores` and `memory` are what a container leaves of them (`lib.machine`).
    """

    system: str
    python: str
    torch: str
    cores: int
    memory: int
    disk: int  # free, where the Hugging Face Hub's files go
    card: str | None = None
    capability: tuple[int, int] | None = None
    card_bytes: int = 0
    mps: bool = False

    @property
    def room(self) -> int:
        """The memory that a model can use: the card's, or the machine's."""
        return self.card_bytes if self.card else self.memory


def this_machine() -> Machine:
    """This machine.

    >>> this_machine().cores > 0
    True
    """
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": cores(),
        "memory": total_memory(),
        "disk": shutil.disk_usage(cache_disk()).free,
        "mps": torch.backends.mps.is_available(),
    }
    if torch.cuda.is_available():
        found["card"], found["capability"] = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        found["card_bytes"] = torch.cuda.mem_get_info()[1]
    return Machine(**found)


def dtype(machine: Machine) -> tuple[str, str]:
    """The type in which `vlm.load` computes here, and why.

    >>> t4 = Machine("Linux", "3.12", "2.11", 2, 12 * GIB, 70 * GIB, "Tesla T4", (7, 5), 15 * GIB)
    >>> dtype(t4)[0]
    'float16'
    """
    kind = str(dtype_of(machine.capability)).removeprefix("torch.")
    capability = ".".join(map(str, machine.capability or ()))
    apple = "; Apple's GPU is not used" if machine.mps else ""
    return kind, {
        "float32": f"no NVIDIA GPU, and on a CPU nothing smaller is faster{apple}",
        "bfloat16": f"compute capability {capability} computes in it (8.0 and later do)",
        "float16": f"compute capability {capability} has no bfloat16 (8.0 and later have); torch only emulates it",
    }[kind]


def package_problems(pyproject: Path = ROOT / "pyproject.toml") -> list[str]:
    """Packages that are missing, or of a version outside the bounds of pyproject.toml; what to do about each."""
    found = []
    for line in tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"]:
        bounds, _, marker = line.partition(";")
        name = re.match(r"[\w-]+", bounds)[0]
        try:
            require_version(bounds)
        except PackageNotFoundError:
            if not marker:  # a package with a marker is not for every machine
                found.append(f"{name} is missing: pip install '{bounds}'")
        except ImportError:
            found.append(f"{name} {version(name)} is outside {bounds.removeprefix(name)}: install one inside")
    return found


# ---------------------------------------------------------------- models and jobs


def settings(machine: Machine) -> tuple[str, str, str]:
    """The largest model that has room for 8 frames: its key in MODELS, the precision, and why.

    >>> settings(Machine("Linux", "3.12", "2.11", 2, 12 * GIB, 70 * GIB, "Tesla T4", (7, 5), int(14.75 * GIB)))[:2]
    ('7b', 'nf4-double')
    """
    whole = dtype(machine)[0]
    precisions = (whole, "nf4-double") if machine.card else (whole,)  # 4 bits on a CPU save memory and cost time
    for model in ("34b", "7b", "onevision-0.5b"):
        for precision in precisions:
            need = budget.answering(MODELS[model], 8, precision).total
            if need <= budget.SHARE * machine.room:
                return model, precision, f"{need / GIB:.1f} GiB for 8 frames, of {machine.room / GIB:.1f}"
    return "tiny", whole, "no real model has room for 8 frames"


def frames_here(machine: Machine, model: str, precision: str, **how) -> budget.FramePlan:
    """The plan for this machine's memory."""
    by_memory = budget.frames_in_memory(MODELS[model], int(budget.SHARE * machine.room), precision=precision, **how)
    return budget.FramePlan(by_memory, budget.plan("T4", model, precision).by_context)


def job_lines(machine: Machine) -> list[str]:
    """A line for each QLoRA job of jobs/: does a step on a mean caption fit, by `lib.budget`; and how to ask more.

    >>> job_lines(Machine("Linux", "3.12", "2.11", 2, 12 * GIB, 70 * GIB, "Tesla T4", (7, 5), int(14.75 * GIB)))[2]
    'jobs/7b-t4.yaml: fits, a step of training takes 8.4 GiB'
    """
    return [
        *(job_line(path, machine) for path in sorted((ROOT / "jobs").glob("*.yaml")) if read_job(path).four_bit),
        ASK,
    ]


def job_line(path: Path, machine: Machine) -> str:
    """The line of one job, whose model is one of HUB_IDS."""
    job, spec = read_job(path), {hub: MODELS[key] for key, hub in HUB_IDS.items()}
    how = {"rank": job.rank, "checkpointing": job.checkpointing, "batch": job.batch, "attention": job.attention}
    need = budget.training(spec[job.model], job.frames, answer=CAPTION, **how).total
    limit = budget.SHARE * machine.card_bytes
    fits = "fits" if need <= limit else "needs a larger GPU" if machine.card else "needs a GPU"
    return f"jobs/{path.name}: {fits}, a step of training takes {need / GIB:.1f} GiB"


# ---------------------------------------------------------------- what was measured


def measured_lines(path: Path = MEASURED) -> list[str]:
    """What `make gpu-check` found, in words; that nothing was measured yet, where its file is missing.

    Raises ValueError for a file that is no such report.
    """
    if not path.exists():
        return ["Not measured yet: no GPU was at hand. `make gpu-check` measures it on one, and writes data/measured/."]
    try:
        report_lines = json.loads(path.read_text("utf-8"))
        machine, cases = report_lines["machine"], report_lines["memory"]
        ran = [case for case in cases if case["peak"]]
        right = sum(case["fits"] == case["expected"] for case in cases)
        furthest = max(ran, key=lambda case: abs(case["ratio"] - 1))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path.name} is no report of make gpu-check: delete it, or run that again") from None
    head = f"Measured on {machine['card']}, {machine['date']}, torch {machine['torch']}: {len(cases)} cases"
    what = "{task}, {precision}, {attention}, {frames} frames".format(**furthest)
    return [
        f"{head}; whether they fit a T4 and an L4 was foreseen in {right}",
        f"furthest from its estimate: {what}: {furthest['peak'] / GIB:.2f} GiB, {furthest['ratio']:.3f} of it",
    ]


# ---------------------------------------------------------------- the report


def report_lines(machine: Machine) -> list[str]:
    """All of it as lines of text."""
    kind, why = dtype(machine)
    model, precision, reason = settings(machine)
    card = f"{machine.card}, compute capability {'.'.join(map(str, machine.capability))}" if machine.card else "none"
    disk = "less than 10" if machine.disk < 10 * GIB else f"at least {machine.disk // (10 * GIB) * 10}"  # it wavers
    lines = [
        f"{machine.system}, Python {machine.python}, torch {machine.torch}",
        f"{machine.cores} cores, {machine.memory / GIB:.0f} GiB of memory, {disk} GiB of disk free",
        f"NVIDIA GPU: {card}" + (f", {machine.card_bytes / GIB:.1f} GiB" if machine.card else ""),
        f"dtype: {kind}, because: {why}",
        *real_model_lines(machine, model, precision, reason),
    ]
    small = machine.memory < SMALLEST * GIB
    lines.append(f"lessons: {f'need {SMALLEST:.0f} GiB of memory' if small else 'all run with tiny'}")
    return lines + [f"problem: {problem}" for problem in package_problems()] + job_lines(machine)


def real_model_lines(machine: Machine, model: str, precision: str, reason: str) -> list[str]:
    """Which real model to take, whether the disk has room for its download, and how many frames it can see."""
    if model == "tiny":
        return [f"model: tiny ({reason})"]
    found = frames_here(machine, model, precision)
    download = budget.weight_bytes(MODELS[model], "float16")
    disk = "" if download < machine.disk else f"; not enough disk: {download / GIB:.1f} GiB to download"
    return [
        f"model: tiny, or {NAMES[model]} in {precision} ({reason}{disk})",
        f"frames: {found.frames} ({found.binds} binds; memory alone: {found.by_memory})",
    ]


def main() -> int:
    """Prints the report; 1 where something is missing."""
    machine = this_machine()
    print("\n".join(report_lines(machine) + measured_lines()))
    return 1 if package_problems() else 0


if __name__ == "__main__":
    sys.exit(main())
