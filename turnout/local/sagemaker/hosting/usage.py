"""What an endpoint's processes use of this machine, read from Linux's /proc; elsewhere there is nothing to read."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from turnout.local.sagemaker.hosting.metering import Value

PROC = Path("/proc")
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
#: Fields of /proc/PID/stat after the command (proc(5)): parent, user and system time in ticks, resident pages.
PARENT, USER, SYSTEM, RESIDENT = 1, 11, 12, 21


class Use(NamedTuple):
    """CPU time since a process began, and its memory now."""

    parent: int
    cpu_seconds: float
    resident_bytes: int


def processes() -> dict[int, Use]:
    """Return every process of this machine by its id; none where there is no /proc."""
    found = ((int(path.name), _read(path)) for path in PROC.glob("[0-9]*"))
    return {pid: use for pid, use in found if use is not None}


def _read(path: Path) -> Use | None:
    try:
        fields = (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None  # it has ended since it was listed
    cpu = (int(fields[USER]) + int(fields[SYSTEM])) / TICKS
    return Use(int(fields[PARENT]), cpu, int(fields[RESIDENT]) * PAGE)


def of_family(pid: int, table: Mapping[int, Use]) -> Use | None:
    """Return what a process and all that descend from it use together; None when it has ended."""
    if pid not in table:
        return None
    family, newest = {pid}, {pid}
    while newest := {other for other, use in table.items() if use.parent in newest} - family:
        family |= newest
    uses = [table[member] for member in family]
    return Use(table[pid].parent, sum(use.cpu_seconds for use in uses), sum(use.resident_bytes for use in uses))


def memory_bytes() -> int:
    """Return how much memory this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * PAGE


class Utilization:
    """Turns use into percentages: 100 is one core, all memory or the whole disk. CPU needs a second look."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def values(self, uses: Mapping[str, Use], memory: float, disk_percent: float, now: float) -> Iterator[Value]:
        """Yield the metrics of each instance. `memory`: bytes that an instance has; `now` in seconds."""
        for identity, use in uses.items():
            if before := self._before.get(identity):
                seconds, cpu = now - before[0], use.cpu_seconds - before[1]
                yield Value("CPUUtilization", max(cpu, 0.0) / seconds * 100, "Percent")
            yield Value("MemoryUtilization", use.resident_bytes / memory * 100, "Percent")
            yield Value("DiskUtilization", disk_percent, "Percent")
        self._before = {identity: (now, use.cpu_seconds) for identity, use in uses.items()}
