"""What runs on this machine, and with which settings: `make doctor`, or python -m lib.tools.doctor.

Looks at the card and its compute capability, memory, disk, and the packages against the bounds of pyproject.toml; says
which lessons run here, with which model, frames and dtype, and why. The last block can be pasted into a bug report: no
path, no user's and no machine's name is in it.
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
from lib.budget.memory import Memory
from lib.budget.specs import MODELS
from lib.files import ROOT
from lib.known import GIB, NAMES
from lib.machine import cores, total_memory
from lib.vlm.hub import cache_disk
from lib.vlm.loading import dtype_of

MEASURED = ROOT / "data" / "measured" / "gpu.json"
SMALLEST = 3.0  # GiB: what a lesson with the tiny model may need (notebooks/build.py)


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


# ---------------------------------------------------------------- the lessons


@dataclass(frozen=True)
class Lesson:
    """What a lesson does with real weights: with which model, on how many frames at most, and the GiB it declares.

    `tokens` of the answer or caption; `clips` at once; `trains`: QLoRA with gradient checkpointing.
    """

    gib: float
    frames: int = 16
    tokens: int = 32
    clips: int = 1
    trains: bool = False
    model: str = "7b"
    precision: str = "nf4-double"

    @property
    def memory(self) -> Memory:
        """The plan's memory for it."""
        spec = MODELS[self.model]
        if self.trains:
            return budget.training(spec, self.frames, answer=self.tokens, checkpointing=True, batch=self.clips)
        return budget.answering(spec, self.frames, self.precision, answer=self.tokens, batch=self.clips)


LESSONS = {  # what a cell of the lesson needs at most with MODEL = the 7B in 4 bits; tests hold it to the plan and a T4
    "00_start_here": Lesson(6.5),
    "01_frames": Lesson(6.5),
    "02_token_math": Lesson(11.5, frames=71),  # as many as fit the context of 10,240
    "03_llava_next_anyres": Lesson(7.0, frames=21),  # 2,928 tokens of an image
    "04_llava_next_video": Lesson(7.5, frames=32),
    "05_slowfast": Lesson(7.0, frames=26),  # 50 frames in 3,680 tokens
    "06_llama_vid": Lesson(6.5),
    "07_same_budget": Lesson(6.5),
    "08_korean_qlora": Lesson(9.0, frames=8, tokens=CAPTION, trains=True),
    "09_dpo": Lesson(11.0, frames=8, tokens=CAPTION, clips=2, trains=True),  # chosen and rejected at once
    "10_evaluation": Lesson(6.5, tokens=CAPTION),
    "11_real_weights": Lesson(8.0, frames=32, tokens=CAPTION),
    "12_scale_out": Lesson(9.0, frames=8, tokens=CAPTION, trains=True),
}


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


def lesson_lines(machine: Machine) -> list[str]:
    """A line for each lesson: that it runs here with tiny, and whether its real-weights mode does."""
    lines = []
    for name, lesson in LESSONS.items():
        tiny = "runs with tiny" if machine.memory >= SMALLEST * GIB else f"needs {SMALLEST:.0f} GiB of memory"
        if not machine.card:
            real = f"7B in 4 bits: on a GPU with {lesson.gib:.1f} GiB"
        elif machine.card_bytes >= lesson.gib * GIB:
            real = f"7B in 4 bits runs here ({lesson.gib:.1f} GiB)"
        else:
            real = f"7B in 4 bits needs {lesson.gib:.1f} GiB, this card has {machine.card_bytes / GIB:.1f}"
        lines.append(f"{name:<22}{tiny}; {real}")
    return lines


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
    return lines + [f"problem: {problem}" for problem in package_problems()] + lesson_lines(machine)


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
