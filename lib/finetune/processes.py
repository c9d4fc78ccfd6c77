"""Several processes: features of many clips and LoRA training, started with torchrun, on CPUs or GPUs alike.

    torchrun --standalone --nproc-per-node 2 -m lib.finetune.processes JOBS.json REPORTS

runs the jobs of a file in each of two processes, and leaves what each process reports in a folder. `launch` does that
from a notebook: it waits, and turns whatever went wrong in a process into one error here. The jobs are `Extraction`
(no process talks to another) and `Training` (gradients are averaged over all). Every process checks that there are as
many of it as were asked for: some launchers start one process in silence.

What this module does not do: several machines (torchrun's `--nnodes`), and saving what FSDP2 has trained.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lib.data.aihub import read_aihub
from lib.data.batches import Collator
from lib.data.features import Features
from lib.data.shards import Cache, World, extract
from lib.data.videos import Example, Video, captioning, split, toybox_videos
from lib.files import ROOT
from lib.finetune.adapters import add_lora, trainable
from lib.machine import peak_megabytes
from lib.packing import IGNORE
from lib.vlm.loading import load
from lib.vlm.model import VideoLM

# ---------------------------------------------------------------------------------------------------------------------
# Who am I, and how many of us are there
# ---------------------------------------------------------------------------------------------------------------------


def world(expected: int) -> World:
    """This process's rank and the number of processes, which torchrun leaves in the environment.

    Raises ValueError unless that number is the expected one.

    >>> world(1)
    World(rank=0, size=1)
    >>> world(2)
    Traceback (most recent call last):
    ValueError: 2 processes were asked for, but there is only this one: start it with `torchrun --nproc-per-node 2`
    """
    found = World(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    if found.size != expected:
        there = "there is only this one" if found.size == 1 else f"there are {found.size}"
        raise ValueError(
            f"{expected} processes were asked for, but {there}: start it with `torchrun --nproc-per-node {expected}`"
        )
    return found


def my_device() -> str:
    """A card for each process of a machine, or the CPU for all of them."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def videos_of(source: str) -> list[Video]:
    """The videos of a folder in AI-Hub's layout, or Toybox clips: "toybox:START:STOP".

    >>> [video.name for video in videos_of("toybox:5:7")]
    ['toybox-5', 'toybox-6']
    """
    if found := re.fullmatch(r"toybox:(\d+):(\d+)", source):
        return toybox_videos(range(*map(int, found.groups())))
    return read_aihub(source).videos


def videos_to_train_on(source: str) -> list[Video]:
    """Those of a folder that `split` keeps for training; of Toybox all, as their seeds were chosen one by one.

    Raises ValueError where it keeps none, as of a folder that holds Validation only.

    >>> [video.part for video in videos_to_train_on("data/aihub_sample")]
    ['train', 'train', 'train', 'train']
    """
    videos = videos_of(source)
    return videos if all(video.clip for video in videos) else split(videos).to_train_on()


# ---------------------------------------------------------------------------------------------------------------------
# Features
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extraction:
    """Fill a folder with features of many clips (`lib.data.shards`). Give it to `launch`, then `seal` the folder."""

    source: str
    folder: str
    model: str = "tiny"
    frames: int = 16
    size: int = 64  # clips to a shard

    def run(self, here: World) -> dict:
        """This process's share. No process waits for another, so there is no process group."""
        features = Features(load(self.model, device=my_device()), self.frames)
        return extract(videos_of(self.source), features, self.folder, self.size, here)._asdict()


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Some steps of LoRA on captions, from the features in a sealed folder; with four_bit, QLoRA.

    source: as for `Extraction`. Of a folder, clips for validation and test are left out (`videos_to_train_on`).

    way: "ddp": each process holds the whole model, gradients are averaged (accelerate wraps it). "fsdp2": each process
    holds its part of every weight, and fetches the others' while a layer computes (`fully_shard`).
    batch: examples of a step over all processes; process r of w takes examples r, r + w, ...
    """

    source: str
    cache: str
    way: str = "ddp"
    steps: int = 5
    batch: int = 4
    rank: int = 8
    learning_rate: float = 2e-3
    four_bit: bool = False
    model: str = "tiny"
    language: str = "en"

    def __post_init__(self):
        if self.way not in STRATEGIES:
            raise ValueError(f"unknown way {self.way!r}: choose one of {', '.join(STRATEGIES)}")
        if self.way == "fsdp2" and self.four_bit:
            raise ValueError("fully_shard is not tried here on 4-bit weights: choose way='ddp', or four_bit=False")

    def run(self, here: World) -> dict:
        """Raises ValueError for a batch smaller than the number of processes, for nothing to train on, and where a
        shard has a wrong size.
        """
        if self.batch < here.size:
            raise ValueError(f"a batch of {self.batch} leaves some of {here.size} processes idle: make it larger")
        if self.way == "fsdp2" and here.size == 1:
            raise ValueError("one process has nobody to share weights with: start two, or choose way='ddp'")
        examples = captioning(videos_to_train_on(self.source), self.language)
        accelerator = Accelerator(cpu=not torch.cuda.is_available())
        vlm = load(self.model, self.four_bit, accelerator.device)
        collate = Collator(vlm, vlm.default_reducer, Cache(self.cache))
        model, optimizer = STRATEGIES[self.way](accelerator, vlm, self)
        held = numbers_held(vlm.model)
        if self.way == "fsdp2":
            check_shards(held, numbers_of(vlm.model), here, accelerator.device)
        vlm.model.train()
        began, losses = time.monotonic(), []
        with vlm.looking_through(collate.reducer):
            for mine in shares(examples, self, here):
                losses.append(step(model, optimizer, collate(mine), here))
        seconds = (time.monotonic() - began) / self.steps
        return {"losses": losses, "seconds": seconds, "all": numbers_of(vlm.model), "held": held}


def shares(examples: Sequence[Example], job: Training, here: World) -> list[list[Example]]:
    """For each step this process's examples of the batch. All processes together take each example once.

    >>> job = Training("toybox:0:9", "cache", steps=2, batch=4)
    >>> shares("abcdefgh", job, World(0, 2)), shares("abcdefgh", job, World(1, 2))
    (['ac', 'eg'], ['bd', 'fh'])

    Raises ValueError where there are too few.
    """
    if len(examples) < job.steps * job.batch:
        raise ValueError(
            f"{job.steps} steps of {job.batch} need {job.steps * job.batch} examples, there are {len(examples)}: "
            "give more, or plan fewer steps"
        )
    batches = (examples[number * job.batch : (number + 1) * job.batch] for number in range(job.steps))
    return [batch[here.rank :: here.size] for batch in batches]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], here: World) -> float:
    """One step; the loss over the answers of all processes.

    Both ways average the processes' gradients. That would be the gradient of one process only if all had as many
    answer tokens. So each sums its tokens' losses and divides by the tokens per process: `num_items_in_batch`.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    answers = mean_over_processes((batch["labels"] != IGNORE).sum().float(), here)
    loss = model(**batch, num_items_in_batch=answers).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return mean_over_processes(loss.detach(), here).item()


def mean_over_processes(number: Tensor, here: World) -> Tensor:
    """A number, averaged over all processes."""
    if here.size > 1:
        number = number.clone()
        dist.all_reduce(number)
        number /= here.size
    return number


def wrap_ddp(accelerator: Accelerator, vlm: VideoLM, job: Training) -> tuple[nn.Module, torch.optim.Optimizer]:
    """LoRA, and accelerate's DistributedDataParallel around it where there are several processes."""
    adapter = add_lora(vlm, job.rank)
    return accelerator.prepare(adapter, new_optimizer(vlm, job))


def wrap_fsdp2(accelerator: Accelerator, vlm: VideoLM, job: Training) -> tuple[nn.Module, torch.optim.Optimizer]:
    """LoRA, every layer of the language model sharded by itself, and then what is left: vision, projector, embeddings.

    The optimizer comes last: sharding replaces the weights, and an older optimizer would go on with the old ones.
    """
    adapter = add_lora(vlm, job.rank)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for layer in vlm.model.model.language_model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(adapter, mesh=mesh)
    return adapter, new_optimizer(vlm, job)


STRATEGIES = {"ddp": wrap_ddp, "fsdp2": wrap_fsdp2}


def new_optimizer(vlm: VideoLM, job: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(trainable(vlm).values(), job.learning_rate, weight_decay=0)


def numbers_of(model: nn.Module) -> int:
    """How many numbers the weights of a model are, over all processes that hold a part."""
    return sum(weight.numel() for weight in model.parameters())


def numbers_held(model: nn.Module) -> int:
    """How many of them this process holds."""
    return sum((w.to_local() if isinstance(w, DTensor) else w).numel() for w in model.parameters())


def check_shards(held: int, whole: int, here: World, device: torch.device | str = "cpu") -> None:
    """Raises ValueError unless the processes' parts make the whole, and none is much more than its share.

    A part may be larger by a row of each weight, where rows do not divide; a process that holds everything is not
    sharded, whatever the launcher was asked for.

    >>> check_shards(588, 588, World(0, 1))
    """
    together = mean_over_processes(torch.tensor(held, dtype=torch.float64, device=device), here).item() * here.size
    if together != whole or held > 1.1 * whole / here.size:
        raise ValueError(
            f"process {here.rank} of {here.size} holds {held:,} of {whole:,} numbers, all together {together:,.0f}: "
            "the model is not sharded"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Starting processes, and hearing from them
# ---------------------------------------------------------------------------------------------------------------------


JOBS = {"Extraction": Extraction, "Training": Training}


def launch(jobs: Sequence[Extraction | Training], processes: int, timeout: float = 600) -> list[list[dict]]:
    """Runs the jobs, one after the other, in that many processes; returns for each job what each process reported.

    Raises RuntimeError with the first process's error, and TimeoutError; no process outlives the call.
    """
    with started(jobs, processes) as (torchrun, reports):
        try:
            torchrun.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{processes} processes did not finish in {timeout} s: allow more, or do less") from None
        if torchrun.returncode:
            raise RuntimeError(what_went_wrong(reports, processes))
        told = [json.loads((reports / f"report-{rank}.json").read_text()) for rank in range(processes)]
    return [list(of_job) for of_job in zip(*told, strict=True)]


@contextmanager
def started(jobs: Sequence[Extraction | Training], processes: int):
    """Inside, the jobs run: (torchrun's process, the folder of reports). At the end whatever still runs is ended.

    `--standalone` finds a free port, so several of these may run on a machine at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        content = {"processes": processes, "jobs": [{"kind": type(job).__name__, **asdict(job)} for job in jobs]}
        (reports / "jobs.json").write_text(json.dumps(content))
        command = torchrun_command(processes, "-m", "lib.finetune.processes", str(reports / "jobs.json"), folder)
        with open(reports / "output.txt", "wb") as output:
            torchrun = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
            try:
                yield torchrun, reports
            finally:
                end(torchrun)


def torchrun_command(processes: int, *script: str) -> list[str]:
    """
    >>> torchrun_command(2, "train.py")[1:]
    ['-m', 'torch.distributed.run', '--standalone', '--local-addr', '127.0.0.1', '--nproc-per-node', '2', 'train.py']
    """
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return [*launcher, "--nproc-per-node", str(processes), *script]


def environment() -> dict[str, str]:
    """That of this process, with lib to be found, and without the rank that this process may have itself."""
    mine = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    paths = [str(ROOT), *filter(None, [mine.get("PYTHONPATH")])]
    return {"OMP_NUM_THREADS": "1"} | mine | {"PYTHONPATH": os.pathsep.join(paths)}


def end(torchrun: subprocess.Popen) -> None:
    """Ends torchrun and with it its processes: asked to, it ends them; killed outright, it would leave them behind."""
    if torchrun.poll() is None:
        torchrun.send_signal(signal.SIGTERM)
    try:
        torchrun.wait(60)  # torchrun itself kills after half a minute what does not end when asked
    except subprocess.TimeoutExpired:
        torchrun.kill()
        torchrun.wait()


def what_went_wrong(reports: Path, processes: int) -> str:
    """One sentence: the error of the process that failed first, or else the end of what torchrun said."""
    errors = [json.loads(path.read_text()) for path in reports.glob("error-*.json")]
    if errors:
        first = min(errors, key=lambda error: error["time"])
        return f"process {first['rank']} of {processes} failed: {first['error']}"
    said = (reports / "output.txt").read_text(errors="replace")
    if dead := re.findall(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", said, re.DOTALL):
        rank, code = next((end for end in dead if end[1] != "-15"), dead[0])  # -15: ended because another one was
        why = " (it was killed, perhaps for its memory)" if code == "-9" else ""
        return f"process {rank} of {processes} ended with code {code}{why}"
    return f"torchrun failed: {' | '.join(said.strip().splitlines()[-3:])}"


def main(jobs_file: str, reports: str) -> None:
    """What every process runs: all jobs, then a report. An error is left in the folder for `what_went_wrong`."""
    content = json.loads(Path(jobs_file).read_text())
    rank = int(os.environ.get("RANK", 0))
    try:
        here = world(content["processes"])
        told = [JOBS[job.pop("kind")](**job).run(here) | {"megabytes": peak_megabytes()} for job in content["jobs"]]
        write_report(Path(reports) / f"report-{rank}.json", told)
    except Exception as error:
        told = {"rank": rank, "time": time.time(), "error": f"{type(error).__name__}: {error}"}
        write_report(Path(reports) / f"error-{rank}.json", told)
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def write_report(path: Path, content: list | dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
