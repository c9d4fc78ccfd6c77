"""Memory and processors that this process may use: the machine's, or fewer if its container allows fewer.

Docker, Kubernetes, Slurm and systemd limit a process by control groups (cgroups). psutil and os.cpu_count() do not see
those limits, and the kernel kills a process that exceeds its group's memory. This module reads both versions of the
kernel's interface: version 1 (`memory.limit_in_bytes`, `cpu.cfs_quota_us`) and version 2 (`memory.max`, `cpu.max`). On
systems without control groups, the machine is the limit.
"""

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS_OF_PROCESS = Path("/proc/self/cgroup")  # one line for each hierarchy, "number:controllers:path"
CGROUPS = Path("/sys/fs/cgroup")
MEMORY_FILES = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}  # limit: usage


def cores() -> int:
    """The processors that this process may keep busy: by its affinity and by its groups' quotas, rounded up.

    >>> 1 <= cores() <= os.cpu_count()
    True
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, quotas())]))


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its groups' lowest limit.

    >>> 0 < free_memory() <= total_memory()
    True
    """
    return min([psutil.virtual_memory().total, *(limit for limit, _ in memory_limits())])


def free_memory() -> int:
    """Bytes that this process can still get: from the machine, or from the group with the least left."""
    left = (limit - used for limit, used in memory_limits())
    return max(0, min([psutil.virtual_memory().available, *left]))


def peak_megabytes() -> float:
    """The most memory that this process has held so far, MiB.

    Linux: of this process alone. (getrusage also counts the process that started it.)
    """
    status = words(Path("/proc/self/status"))
    if "VmHWM:" in status:
        return int(status[status.index("VmHWM:") + 1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes


def quotas() -> Iterator[float]:
    """Processors that the groups of this process may keep busy, for each group with a quota: time by period."""
    for group in groups("cpu"):
        texts = words(group / "cpu.max") or words(group / "cpu.cfs_quota_us") + words(group / "cpu.cfs_period_us")
        if len(texts) == 2 and texts[0].isdecimal():  # no quota: "max" in version 2, -1 in version 1
            yield int(texts[0]) / int(texts[1])


def memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of the groups with a limit. Cached files do not count as used, because the kernel can drop
    them."""
    for group in groups("memory"):
        for limit, usage in MEMORY_FILES.items():
            texts = words(group / limit) + words(group / usage)
            if len(texts) == 2 and texts[0].isdecimal():  # no limit: "max" in version 2, 2**63 or so in version 1
                stat = words(group / "memory.stat")
                held = dict(zip(stat[::2], map(int, stat[1::2]), strict=True))
                files = (held.get(f"total_{name}", held.get(name, 0)) for name in ("active_file", "inactive_file"))
                yield int(texts[0]), int(texts[1]) - sum(files)


def groups(controller: str) -> Iterator[Path]:
    """The folders of the groups that limit this process: its own and those around it, in all hierarchies.

    A container may show its own group's files at the top although its path is longer; missing folders count as empty.
    Lines of another form are ignored.
    """
    for line in text_of(GROUPS_OF_PROCESS).splitlines():
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            tops = (
                {CGROUPS / controllers, CGROUPS / controller} if controllers else {CGROUPS}
            )  # "cpu,cpuacct", and "cpu"
            own = Path(path.lstrip("/"))
            yield from (top / folder for top in tops for folder in (own, *own.parents))


def words(path: Path) -> list[str]:
    """The words of a file; none if it cannot be read."""
    return text_of(path).split()


def text_of(path: Path) -> str:
    """The text of a file; "" if it cannot be read or its path is invalid (it holds a null character)."""
    try:
        return path.read_text(errors="surrogateescape")
    except (OSError, ValueError):
        return ""
