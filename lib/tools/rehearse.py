"""The job with a model as large as the real one: random weights, every command, seconds and memory on this machine.

    make rehearse

writes LLaVA-NeXT-Video-7B with random weights (14 GB) into a scratch folder. It runs plan, train (two steps of QLoRA),
caption and merge with them on this machine's processor, and writes data/measured/rehearsed.json. Its captions mean
nothing. It tests the commands at this size before a learner with a card runs them.

It needs 24 GB of memory, 45 GB of disk, and about an hour on two cores.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from lib import machine, quiet
from lib.files import DATA, ROOT, write_text
from lib.known import GIB, HUB_IDS
from lib.vlm.twins import write_twin

REHEARSED = DATA / "measured" / "rehearsed.json"
DISK = 45 * GIB
REHEARSED_JOB = dict(
    data="toybox:1000003:1000007", language="ko", four_bit=True, frames=8, steps=2, every=2, batch=1, accumulation=1,
    validation=0.0, test=0.1, max_new_tokens=8,
)  # fmt: skip
# glibc keeps freed memory between large tensors: 13 GiB after one forward pass on a processor. These settings return
# every block above 1 MiB at once. (A card's memory has another allocator.)
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
RUN = """
import sys
from lib.__main__ import main
from lib.machine import peak_megabytes
code = main(sys.argv[1:])
print(f"peak {peak_megabytes():.0f} MiB", file=sys.stderr)
sys.exit(code)
"""


def rehearse(name: str = HUB_IDS["7b"], scratch: str | None = None, full_size: bool = True) -> dict:
    """Seconds and peak MiB of each command, by its name. Raises ValueError if a command fails or the disk is too
    small."""
    scratch = Path(scratch or tempfile.mkdtemp())
    if full_size and shutil.disk_usage(scratch).free < DISK:
        raise ValueError(f"{scratch} has less than {DISK // GIB} GiB free: name a folder on a larger disk")
    try:
        began = time.monotonic()
        model = write_twin(name, scratch / "model", full_size)
        found = {"write the model": {"seconds": round(time.monotonic() - began, 1)}}
        job = scratch / "job.yaml"
        write_text(job, yaml.safe_dump(REHEARSED_JOB | {"model": str(model), "output": str(scratch / "run")}))
        for command, *more in (["plan"], ["train"], ["caption"], ["merge", str(scratch / "merged")]):
            found[command] = timed(command, str(job), *more)
            print(f"{command:<8} {found[command]['seconds']:>8.1f} s {found[command]['mebibytes']:>8,} MiB", flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"model": name, "cores": machine.cores(), "machine": platform.machine(), "commands": found}


def timed(*command: str) -> dict[str, float]:
    """A command in a process of its own: its seconds and its peak memory."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | ALLOCATOR, check=False,
    )  # fmt: skip
    if done.returncode:
        last = "; ".join(done.stderr.strip().splitlines()[-2:])
        raise ValueError(f"{' '.join(command)} ended with {done.returncode} (-9: out of memory): {last}")
    [peak] = re.findall(r"^peak (\d+) MiB$", done.stderr, re.MULTILINE)
    return {"seconds": round(time.monotonic() - began, 1), "mebibytes": int(peak)}


def main() -> None:
    quiet()
    write_text(REHEARSED, json.dumps(rehearse(*sys.argv[1:]), indent=1) + "\n")
    print(f"written: {REHEARSED}")


if __name__ == "__main__":
    main()
