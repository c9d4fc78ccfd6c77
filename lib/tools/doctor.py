"""What runs on this machine, and with which settings: `make doctor`, or python -m lib.tools.doctor.

It checks the card and its compute capability, memory, disk, and the packages against the bounds of pyproject.toml. It
reports whether the lessons run here, with which model, frames and dtype, and why, and which jobs fit. The block can be
pasted into a bug report: it holds no path and no name of a user or machine.
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
from lib.text import Text
from lib.vlm.hub import cache_disk
from lib.vlm.loading import dtype_of

MEASURED = ROOT / "data" / "measured" / "gpu.json"
SMALLEST = 3.0  # GiB: what a lesson with the tiny model may need (notebooks/build.py)
ASK = Text(
    "frames, batch and hours on every card: python -m lib plan jobs/7b-t4.yaml",
    "카드마다 프레임, 배치, 시간: python -m lib plan jobs/7b-t4.yaml",
)
APPLE = Text("; Apple's GPU is not used", ". Apple의 GPU는 쓰지 않습니다")
WHY = {
    "float32": Text(
        "no NVIDIA GPU, and no smaller type is faster on a CPU{apple}",
        "NVIDIA GPU가 없고, CPU에서는 더 작은 자료형이라고 빨라지지 않습니다{apple}",
    ),
    "bfloat16": Text(
        "compute capability {capability} computes in it (8.0 and later do)",
        "compute capability {capability}은(는) 이 자료형으로 계산합니다(8.0부터)",
    ),
    "float16": Text(
        "compute capability {capability} has no bfloat16 (8.0 and later have); torch only emulates it",
        "compute capability {capability}에는 bfloat16이 없고(8.0부터 있음) torch가 에뮬레이션만 합니다",
    ),
}
NO_PACKAGE = Text("{name} is missing: pip install '{bounds}'", "{name}이(가) 없습니다: pip install '{bounds}'")
OUTSIDE_BOUNDS = Text(
    "{name} {version} is outside {bounds}: install one inside",
    "{name} {version}은(는) 범위 {bounds} 밖입니다. 범위 안의 버전을 설치하세요",
)
ROOM = Text("{need:.1f} GiB for 8 frames, of {room:.1f}", "8프레임에 {need:.1f} GiB, 전체 {room:.1f} GiB")
NO_ROOM = Text("no real model has room for 8 frames", "8프레임을 처리할 수 있는 실제 모델이 없음")
JOB = Text(
    "jobs/{name}: {fits}, a step of training takes {gib:.1f} GiB", "jobs/{name}: {fits}, 학습 스텝 하나에 {gib:.1f} GiB"
)
JOB_FITS, LARGER_GPU = Text("fits", "들어감"), Text("needs a larger GPU", "더 큰 GPU가 필요함")
ANY_GPU = Text("needs a GPU", "GPU가 필요함")
NOT_MEASURED = Text(
    "Not measured yet: no GPU was at hand. `make gpu-check` measures it on one, and writes data/measured/.",
    "아직 GPU에서 측정하지 않았습니다. GPU가 있는 컴퓨터에서 `make gpu-check`를 실행하면 data/measured/에 기록합니다.",
)
NO_REPORT = Text(
    "{name} is not a report of make gpu-check: delete it, or run that again",
    "{name}은(는) make gpu-check의 결과가 아닙니다. 지우거나 다시 실행하세요",
)
MEASURED_ON = Text(
    "Measured on {card}, {date}, torch {torch}: {n} cases; fit on a T4 and an L4 predicted correctly for {right}",
    "{card}에서 측정함({date}, torch {torch}): {n}가지 경우 중 {right}가지에서 T4와 L4에 들어가는지를 맞게 예측",
)
FURTHEST = Text(
    "furthest from its estimate: {what}: {gib:.2f} GiB, {ratio:.3f} of it",
    "추정과 가장 다른 경우: {what}: {gib:.2f} GiB, 추정의 {ratio:.3f}배",
)
FREE_DISK = Text("less than {n} GiB", "{n} GiB 미만"), Text("at least {n} GiB", "{n} GiB 이상")
SYSTEM = Text(
    "{cores} cores, {memory:.0f} GiB of memory, {disk} of disk free",
    "코어 {cores}개, 메모리 {memory:.0f} GiB, 디스크 여유 공간 {disk}",
)
NO_CARD = Text("none", "없음")
DTYPE = Text("dtype: {kind}, because: {why}", "dtype: {kind}. 이유: {why}")
LESSONS_SMALL = Text("lessons: need {gib:.0f} GiB of memory", "수업: 메모리 {gib:.0f} GiB가 필요합니다")
LESSONS_RUN = Text("lessons: all run with tiny", "수업: 모두 tiny로 실행됩니다")
PROBLEM = Text("problem: {what}", "문제: {what}")
TINY_ONLY = Text("model: tiny ({reason})", "모델: tiny({reason})")
SMALL_DISK = Text("; not enough disk: {gib:.1f} GiB to download", ". 디스크 부족: {gib:.1f} GiB를 내려받아야 합니다")
LARGEST_MODEL = Text(
    "model: tiny, or {name} in {precision} ({reason}{disk})", "모델: tiny, 또는 {precision}의 {name}({reason}{disk})"
)
FRAMES_HERE = Text(
    "frames: {frames} ({binds} binds; memory alone: {by_memory})",
    "프레임: {frames}(한계는 {binds}, 메모리만 보면 {by_memory})",
)
BINDS = {"memory": Text("memory", "메모리"), "context": Text("context", "문맥")}


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True)
class Machine:
    """The machine's properties. Sizes in bytes; `capability` and `card_bytes` are those of the first NVIDIA GPU.

    `cores` and `memory` are those that a container allows (`lib.machine`).
    """

    system: str
    python: str
    torch: str
    cores: int
    memory: int
    disk: int  # free space for the Hugging Face Hub's files
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
    return kind, WHY[kind].say(capability=capability, apple=APPLE.say() if machine.mps else "")


def package_problems(pyproject: Path = ROOT / "pyproject.toml") -> list[str]:
    """Packages that are missing or have a version outside the bounds of pyproject.toml, with a fix for each."""
    found = []
    for line in tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"]:
        bounds, _, marker = line.partition(";")
        name = re.match(r"[\w-]+", bounds)[0]
        try:
            require_version(re.sub(r"\[.*?\]", "", bounds))  # extras have no version of their own
        except PackageNotFoundError:
            if not marker:  # a package with a marker is not for every machine
                found.append(NO_PACKAGE.say(name=name, bounds=bounds))
        except ImportError:
            found.append(OUTSIDE_BOUNDS.say(name=name, version=version(name), bounds=bounds.removeprefix(name)))
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
                return model, precision, ROOM.say(need=need / GIB, room=machine.room / GIB)
    return "tiny", whole, NO_ROOM.say()


def frames_here(machine: Machine, model: str, precision: str, **how) -> budget.FramePlan:
    """The plan for this machine's memory."""
    by_memory = budget.frames_in_memory(MODELS[model], int(budget.SHARE * machine.room), precision=precision, **how)
    return budget.FramePlan(by_memory, budget.plan("T4", model, precision).by_context)


def job_lines(machine: Machine) -> list[str]:
    """A line for each QLoRA job of jobs/: whether a step on a mean caption fits, by `lib.budget`; and how to see more.

    >>> job_lines(Machine("Linux", "3.12", "2.11", 2, 12 * GIB, 70 * GIB, "Tesla T4", (7, 5), int(14.75 * GIB)))[2]
    'jobs/7b-t4.yaml: fits, a step of training takes 8.4 GiB'
    """
    return [
        *(job_line(path, machine) for path in sorted((ROOT / "jobs").glob("*.yaml")) if read_job(path).four_bit),
        ASK.say(),
    ]


def job_line(path: Path, machine: Machine) -> str:
    """The line of one job, whose model is one of HUB_IDS."""
    job, spec = read_job(path), {hub: MODELS[key] for key, hub in HUB_IDS.items()}
    how = {"rank": job.rank, "checkpointing": job.checkpointing, "batch": job.batch, "attention": job.attention}
    need = budget.training(spec[job.model], job.frames, answer=CAPTION, **how).total
    limit = budget.SHARE * machine.card_bytes
    fits = JOB_FITS if need <= limit else LARGER_GPU if machine.card else ANY_GPU
    return JOB.say(name=path.name, fits=fits.say(), gib=need / GIB)


# ---------------------------------------------------------------- what was measured


def measured_lines(path: Path = MEASURED) -> list[str]:
    """The results of `make gpu-check` in words, or a note that nothing was measured yet.

    Raises ValueError for a file that is not such a report.
    """
    if not path.exists():
        return [NOT_MEASURED.say()]
    try:
        report_lines = json.loads(path.read_text("utf-8"))
        machine, cases = report_lines["machine"], report_lines["memory"]
        ran = [case for case in cases if case["peak"]]
        right = sum(case["fits"] == case["expected"] for case in cases)
        furthest = max(ran, key=lambda case: abs(case["ratio"] - 1))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ValueError(NO_REPORT.say(name=path.name)) from None
    what = "{task}, {precision}, {attention}, {frames} frames".format(**furthest)
    return [
        MEASURED_ON.say(**{key: machine[key] for key in ("card", "date", "torch")}, n=len(cases), right=right),
        FURTHEST.say(what=what, gib=furthest["peak"] / GIB, ratio=furthest["ratio"]),
    ]


# ---------------------------------------------------------------- the report


def report_lines(machine: Machine) -> list[str]:
    """The whole report as lines of text."""
    kind, why = dtype(machine)
    model, precision, reason = settings(machine)
    capability = ".".join(map(str, machine.capability or ()))
    gpu = f"{machine.card}, compute capability {capability}, {machine.card_bytes / GIB:.1f} GiB"
    tens = machine.disk // (10 * GIB) * 10  # rounded, because it changes from run to run
    disk = FREE_DISK[1].say(n=tens) if tens else FREE_DISK[0].say(n=10)
    lines = [
        f"{machine.system}, Python {machine.python}, torch {machine.torch}",
        SYSTEM.say(cores=machine.cores, memory=machine.memory / GIB, disk=disk),
        f"NVIDIA GPU: {gpu if machine.card else NO_CARD.say()}",
        DTYPE.say(kind=kind, why=why),
        *real_model_lines(machine, model, precision, reason),
    ]
    lines.append(LESSONS_SMALL.say(gib=SMALLEST) if machine.memory < SMALLEST * GIB else LESSONS_RUN.say())
    return lines + [PROBLEM.say(what=problem) for problem in package_problems()] + job_lines(machine)


def real_model_lines(machine: Machine, model: str, precision: str, reason: str) -> list[str]:
    """The real model to use, whether the disk has room for its download, and how many frames it can see."""
    if model == "tiny":
        return [TINY_ONLY.say(reason=reason)]
    found = frames_here(machine, model, precision)
    download = budget.weight_bytes(MODELS[model], "float16")
    disk = "" if download < machine.disk else SMALL_DISK.say(gib=download / GIB)
    return [
        LARGEST_MODEL.say(name=NAMES[model], precision=precision, reason=reason, disk=disk),
        FRAMES_HERE.say(frames=found.frames, binds=BINDS[found.binds].say(), by_memory=found.by_memory),
    ]


def main() -> int:
    """Prints the report; returns 1 if something is missing."""
    machine = this_machine()
    print("\n".join(report_lines(machine) + measured_lines()))
    return 1 if package_problems() else 0


if __name__ == "__main__":
    sys.exit(main())
