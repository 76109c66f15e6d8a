"""Runs a command and ends it, with all its descendants, when the starter dies, asks for it or memory runs out.

Started as a script, without the rest of the package: `python guard.py <seconds> <megabytes> <command>...`. The
starter holds the other end of standard input; when that closes, or on SIGTERM, the command's process group gets
SIGTERM and, after the grace period, SIGKILL. When the command and its descendants hold more memory than the given
megabytes (0: no limit), they are killed and the exit code is 137, as of a container that is out of memory.

Prints the command's process group on standard output, for a starter that outlives the guard; the command itself
writes to the guard's standard error. Otherwise exits with the command's own code.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

#: linux/prctl.h and linux/capability.h
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36
CAP_DAC_OVERRIDE = 1
OUT_OF_MEMORY = 137  # 128 + SIGKILL, what Docker reports
POLL_SECONDS = 0.05
POLLS_PER_LOOK_AT_MEMORY = 5
KILL_SECONDS = 2


def main() -> int:
    grace, limit = float(sys.argv[1]), int(sys.argv[2]) * 2**20
    _adopt_orphans()
    child = subprocess.Popen(
        sys.argv[3:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=_confine if sys.platform == "linux" else None,
    )
    print(child.pid, flush=True)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    threading.Thread(target=_watch_starter, args=(stopping,), daemon=True).start()
    code = _until_it_ends(child.pid, limit, stopping)
    if code is None:
        code = _asked_to_end(child.pid, grace)
    _kill_all(child.pid)
    return code


def _until_it_ends(pid: int, limit: int, stopping: threading.Event) -> int | None:
    """Return the command's exit code, or None when the guard was asked to stop."""
    polls = 0
    while not stopping.wait(POLL_SECONDS):
        if (code := _reap(pid)) is not None:
            return code
        polls += 1
        if limit and polls % POLLS_PER_LOOK_AT_MEMORY == 0 and _memory(limit) > limit:
            print(f"guard: exceeded the memory limit of {limit >> 20} MB, killing", file=sys.stderr, flush=True)
            return OUT_OF_MEMORY
    return _reap(pid)


def _asked_to_end(pid: int, grace: float) -> int:
    _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        if (code := _reap(pid)) is not None:
            return code
        time.sleep(POLL_SECONDS / 5)
    print(f"guard: no exit within {grace:g} s of SIGTERM, killing", file=sys.stderr, flush=True)
    return 128 + signal.SIGKILL


def _kill_all(pid: int) -> None:
    """Kill the group, also when its leader has gone, and descendants that left the group."""
    _signal_group(pid, signal.SIGKILL)
    deadline = time.monotonic() + KILL_SECONDS
    while (left := _descendants()) and time.monotonic() < deadline:
        for descendant in left:
            _signal(os.kill, descendant, signal.SIGKILL)
        _reap(pid)
        time.sleep(POLL_SECONDS / 5)


def _reap(pid: int) -> int | None:
    """Collect every child that has ended, adopted ones too; return the exit code of `pid` when it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)


def _adopt_orphans() -> None:
    """Stay the ancestor of descendants whose parents end; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _confine() -> None:
    """Have the kernel kill the command with this guard, and let it write no file that its permissions forbid.

    Without CAP_DAC_OVERRIDE the model's folder is read-only for root too.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def _watch_starter(stopping: threading.Event) -> None:
    while sys.stdin.buffer.raw.read(1):
        pass
    stopping.set()


def _signal_group(pid: int, number: int) -> None:
    _signal(os.killpg, pid, number)


def _signal(send, pid: int, number: int) -> None:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _memory(limit: int) -> int:
    """Return the bytes that all descendants hold. Pages that several of them share count once near the limit."""
    pids = _descendants()
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= limit else sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return _resident_by_ps(pid) if sys.platform != "linux" else 0
    except (ProcessLookupError, IndexError):
        return 0


def _resident_by_ps(pid: int) -> int:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return int(shown or 0) * 1024


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident(pid)
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Yield pid and parent of every process that has not ended."""
    if sys.platform != "linux":
        yield from _processes_by_ps()
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it ended while we looked
            if fields[0] not in "ZX":
                yield int(entry.name), int(fields[1])


def _processes_by_ps() -> Iterator[tuple[int, int]]:
    listing = subprocess.Popen(["ps", "-axo", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True)
    for line in listing.communicate()[0].splitlines():
        pid, parent, state = line.split()
        if not state.startswith("Z") and int(pid) != listing.pid:
            yield int(pid), int(parent)


if __name__ == "__main__":
    sys.exit(main())
