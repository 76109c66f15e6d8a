"""What this container may use of the machine: cores and memory, as its control group limits them."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores may be used at once: those of the process's affinity, or the quota if that is less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota.isdigit() or not period.isdigit():
        return allowed
    return max(1, min(allowed, int(quota) // int(period)))


def memory_bytes(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int | None:
    """Return the memory limit of the control group (version 2 or 1) or of the machine; None where neither is told."""
    limits = [_read(cgroup / name) for name in ("memory.max", "memory/memory.limit_in_bytes")]
    total = next((line.split()[1] for line in _read(meminfo).splitlines() if line.startswith("MemTotal:")), "")
    found = [int(text) for text in limits if text.isdigit()] + ([int(total) * 1024] if total else [])
    return min(found, default=None)


def _read(path: Path) -> str:
    """Return the file's text; a file that this kind of machine does not have says nothing."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
