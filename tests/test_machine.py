"""What a container leaves of a machine: control groups of both versions, as files in a folder."""

import os
from types import SimpleNamespace

import psutil
import pytest
import torch

from lib import budget, machine, vlm
from lib.known import GIB
from lib.tools import doctor

HUGE = 9223372036854771712  # what version 1 writes where there is no limit
STAT = f"active_file {GIB // 2}\ninactive_file {GIB // 2}\n"


@pytest.fixture
def container(tmp_path, monkeypatch):
    """container(lines, files): this process is in the groups of those lines, on a machine of 64 GiB and 16 cores."""

    def container(lines, files):
        own = tmp_path / "cgroup"
        own.write_text("".join(f"{line}\n" for line in lines))
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        monkeypatch.setattr(machine, "GROUPS_OF_PROCESS", own)
        monkeypatch.setattr(machine, "CGROUPS", tmp_path / "fs")

    memory = SimpleNamespace(total=64 * GIB, available=60 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return container


LIMITS = {  # lines of /proc/self/cgroup, files under /sys/fs/cgroup, and GiB in all, GiB free and cores that are left
    "version 2, Docker: its own group is the top": (
        ["0::/"],
        {"memory.max": 4 * GIB, "memory.current": 2 * GIB, "memory.stat": STAT, "cpu.max": "150000 100000"},
        (4, 3, 2),
    ),
    "version 2, a slice of systemd: limits of the groups around count": (
        ["0::/user.slice/user 1000.slice/app.scope"],
        {
            "user.slice/user 1000.slice/memory.max": 8 * GIB, "user.slice/user 1000.slice/memory.current": 7 * GIB,
            "user.slice/user 1000.slice/app.scope/memory.max": 16 * GIB,
            "user.slice/user 1000.slice/app.scope/memory.current": GIB, "user.slice/cpu.max": "400000 100000",
            "user.slice/user 1000.slice/app.scope/cpu.max": "max 100000",
        },
        (8, 1, 4),
    ),
    "version 1, Docker: the group is at the top, its path is the host's": (
        ["4:memory:/docker/0a1b", "3:cpu,cpuacct:/docker/0a1b", "0::/"],
        {
            "memory/memory.limit_in_bytes": 3 * GIB, "memory/memory.usage_in_bytes": 3 * GIB,
            "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 1073741824\n",
            "cpu,cpuacct/cpu.cfs_quota_us": 50000, "cpu,cpuacct/cpu.cfs_period_us": 100000,
        },
        (3, 1, 1),
    ),
    "version 1, Slurm: a job in its folder": (
        ["9:memory:/slurm/job_7", "2:cpu:/slurm/job_7"],
        {
            "memory/slurm/job_7/memory.limit_in_bytes": 24 * GIB, "memory/slurm/job_7/memory.usage_in_bytes": 0,
            "memory/memory.limit_in_bytes": HUGE, "memory/memory.usage_in_bytes": 40 * GIB,
            "cpu/slurm/job_7/cpu.cfs_quota_us": 800000, "cpu/slurm/job_7/cpu.cfs_period_us": 100000,
        },
        (24, 24, 8),
    ),
    "version 1, CentOS 7: controllers in another order than in their folder's name": (
        ["4:memory:/", "3:cpuacct,cpu:/docker/0a1b"],
        {"cpu/cpu.cfs_quota_us": 300000, "cpu/cpu.cfs_period_us": 100000},  # cpu is a link to cpu,cpuacct
        (64, 60, 3),
    ),
    "both versions at once, nothing limited": (
        ["4:memory:/", "1:cpu:/", "0::/init.scope"],
        {
            "memory/memory.limit_in_bytes": HUGE, "memory/memory.usage_in_bytes": GIB,
            "cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000, "init.scope/memory.max": "max",
            "init.scope/memory.current": GIB, "init.scope/cpu.max": "max 100000",
        },
        (64, 60, 16),
    ),
    "a group that holds more than a lowered limit": (
        ["0::/"], {"memory.max": GIB, "memory.current": 2 * GIB}, (1, 0, 16),
    ),
    "no control groups": ([], {}, (64, 60, 16)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_a_container_are_seen_everywhere(container, name):
    lines, files, (total, free, cores) = LIMITS[name]
    container(lines, files)
    assert (machine.total_memory(), machine.free_memory(), machine.cores()) == (total * GIB, free * GIB, cores)
    found = doctor.this_machine()
    assert (found.memory, found.cores) == (total * GIB, cores)
    assert vlm.free_bytes(torch.device("cpu")) == free * GIB
    if not torch.cuda.is_available():
        assert budget.card_bytes(budget.THIS_MACHINE) == total * GIB


def test_affinity_is_a_limit_where_the_system_has_it(container, monkeypatch):
    container(["0::/"], {"cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert machine.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.cores() == 6


def test_a_machine_without_the_files_of_linux(container, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "GROUPS_OF_PROCESS", tmp_path / "nowhere")
    assert (machine.total_memory(), machine.free_memory(), machine.cores()) == (64 * GIB, 60 * GIB, 16)


@pytest.mark.parametrize(
    "garbled", [b"", b"0", b"\xff\xfe::\n:", b"no line of the kernel's\n0::/\x00a", b"\n\n3:memory"]
)
def test_a_garbled_list_of_groups_is_ignored(container, tmp_path, garbled):
    container([], {})
    (tmp_path / "cgroup").write_bytes(garbled)
    assert (machine.total_memory(), machine.free_memory(), machine.cores()) == (64 * GIB, 60 * GIB, 16)
    (tmp_path / "cgroup").write_bytes(garbled + b"\n0::/\n")
    (tmp_path / "fs").mkdir()
    (tmp_path / "fs" / "cpu.max").write_text("200000 100000")
    assert machine.cores() == 2


def test_a_model_too_large_for_the_container_is_refused(container, random_vlm):
    container(["0::/"], {"memory.max": 2**19, "memory.current": 0})
    with pytest.raises(ValueError, match="need 0.0 GiB in float32 and cpu has 0.0 GiB free"):
        vlm.load(random_vlm.name)
