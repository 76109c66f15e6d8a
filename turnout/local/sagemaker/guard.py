"""Runs a command and ends it, with all its children, when the starter dies or asks for it.

Started as a script, without the rest of the package: `python guard.py <seconds> <command>...`. The starter holds the
other end of standard input; when that closes, or on SIGTERM, the command's process group gets SIGTERM
and, after the grace period, SIGKILL. Exits with the command's own code.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    grace = float(sys.argv[1])
    child = subprocess.Popen(
        sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
    )
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    threading.Thread(target=_watch_starter, args=(stopping,), daemon=True).start()
    while child.poll() is None and not stopping.wait(0.05):
        pass
    if child.poll() is None:
        _end(child, signal.SIGTERM)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            print(f"guard: no exit within {grace:g} s of SIGTERM, killing", file=sys.stderr)
    _end(child, signal.SIGKILL)
    return child.wait()


def _die_with_parent() -> None:
    """Have the kernel kill the command when this guard is killed; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_starter(stopping: threading.Event) -> None:
    while sys.stdin.buffer.raw.read(1):
        pass
    stopping.set()


def _end(child: subprocess.Popen, number: int) -> None:
    """Signal the whole group, also when its leader has gone and left children behind."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    sys.exit(main())
