"""Starting several processes on this machine with torchrun, and collecting their output and errors.

    with started(2, "-m", "lib", "train", "jobs/tiny.yaml") as (torchrun, output):
        torchrun.wait()

`launch` waits, and turns any failure of a process into one error here. The script decides what the processes do:
`python -m lib train` divides features and training among them. Some launchers silently start one process, so a script
that needs a certain number checks it with `world`.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.data.shards import World
from lib.files import ROOT

FSDP = {"ACCELERATE_USE_FSDP": "true"}  # what `accelerate launch` sets with jobs/accelerate/fsdp.yaml
PER_PROCESS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_USE_FSDP")


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


def launch(processes: int, *script: str, timeout: float = 600, settings: dict[str, str] | None = None) -> str:
    """Runs a script in that many processes and returns what they printed. settings: added to their environment.

    Raises RuntimeError with the first process's error, and TimeoutError; no process outlives the call.
    """
    with started(processes, *script, settings=settings) as (torchrun, output):
        try:
            torchrun.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{processes} processes did not finish in {timeout} s: allow more, or do less") from None
        said = output.read_text(errors="replace")
    if torchrun.returncode:
        raise RuntimeError(what_went_wrong(said, processes))
    return said


@contextmanager
def started(
    processes: int, *script: str, settings: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Runs the script inside the block: (torchrun's process, the file with all output). At the end, running processes
    are stopped.

    `--standalone` finds a free port, so several of these may run on a machine at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "output.txt")
        with open(path, "wb") as output:
            command, variables = torchrun_command(processes, *script), environment() | (settings or {})
            torchrun = subprocess.Popen(command, stdout=output, stderr=output, env=variables)
            try:
                yield torchrun, path
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
    """This process's environment, with lib on the path and without this process's own rank."""
    mine = {name: value for name, value in os.environ.items() if name not in PER_PROCESS}
    paths = [str(ROOT), *filter(None, [mine.get("PYTHONPATH")])]
    return {"OMP_NUM_THREADS": "1"} | mine | {"PYTHONPATH": os.pathsep.join(paths)}


def end(torchrun: subprocess.Popen) -> None:
    """Stops torchrun and its processes: on a signal it stops them; killed outright, it would leave them running."""
    if torchrun.poll() is None:
        torchrun.send_signal(signal.SIGTERM)
    try:
        torchrun.wait(60)  # torchrun itself kills processes that ignore the signal for half a minute
    except subprocess.TimeoutExpired:
        torchrun.kill()
        torchrun.wait()


def what_went_wrong(said: str, processes: int) -> str:
    """One sentence from the output of torchrun and its processes: which was killed, the first error, or which failed
    first.

    In that order, because a killed process makes the others fail too.

    >>> what_went_wrong("error: there is no file of settings job.yaml", 2)
    'one of 2 processes failed: there is no file of settings job.yaml'
    """
    dead = re.findall(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", said, re.DOTALL)
    if killed := [rank for rank, code in dead if code == "-9"]:
        return f"process {killed[0]} of {processes} ended with code -9 (it was killed, perhaps for its memory)"
    if errors := re.findall(r"^(?:\[rank\d+\]: )?(?:error|\w+Error): (.*)", said, re.MULTILINE):
        return f"one of {processes} processes failed: {errors[0]}"
    if dead:
        rank, code = next((end for end in dead if end[1] != "-15"), dead[0])  # -15: ended because another one was
        return f"process {rank} of {processes} ended with code {code}"
    return f"torchrun failed: {' | '.join(said.strip().splitlines()[-3:])}"
