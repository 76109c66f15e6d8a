"""The local cloud's process: `python -m turnout.local.server --state-dir DIR [--port N] [--time-scale X] [--persist]`.

Listens on 127.0.0.1 only. Writes `DIR/local.json` when it answers and removes it when it ends; logs go to
standard output, which `control.up` sends to `DIR/logs/local.log`.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from turnout.local.faults import REAL_TIME
from turnout.local.sagemaker.artifact import remove

STATE_FILE = "local.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m turnout.local.server")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--time-scale", type=float, default=REAL_TIME, help="seconds of AWS's waiting in one second")
    parser.add_argument("--persist", action="store_true", help="keep state over a clean stop")
    options = parser.parse_args()
    state_dir = options.state_dir.resolve()
    sock = _listen(options.port)
    port = sock.getsockname()[1]
    _environment(state_dir, port, options.persist)
    asyncio.run(_serve(sock, port, state_dir, options.time_scale))
    return 0


def _listen(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"port {port} on 127.0.0.1 is not free: {error.strerror}")
    return sock


def _environment(state_dir: Path, port: int, persist: bool) -> None:
    """Set what the emulator reads at import, and take away what would leak from the user's shell into functions."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name in ("PYTHONPATH", "PYTHONHOME", "USE_SSL", "EDGE_PORT"):
            del os.environ[name]
    temporary = state_dir / "tmp"
    for folder in (temporary, state_dir / "state", state_dir / "s3", state_dir / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TURNOUT_LOCAL_IMAGES", str(state_dir / "images.json"))
    flag = "1" if persist else "0"
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        TMPDIR=str(temporary),
        STATE_DIR=str(state_dir / "state"),
        S3_DATA_DIR=str(state_dir / "s3"),
        PERSIST_STATE=flag,
        S3_PERSIST=flag,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        PYTHONUNBUFFERED="1",
        LAMBDA_ACCOUNT_CONCURRENCY="1000",  # AWS's default; the emulator's own depends on this machine's memory
    )


async def _serve(sock: socket.socket, port: int, state_dir: Path, time_scale: float) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from turnout.local import emulator

    running = emulator.install(port, state_dir / "tmp" / "jobs", state_dir / "logs", time_scale)
    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    config.graceful_timeout = 2
    logging.getLogger("hypercorn.error").setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = Internal(running, running.application)
    announcing = asyncio.create_task(_announce(port, state_dir))
    try:
        await serve(application, config, shutdown_trigger=partial(_until_stopped, stop, running))
    finally:
        announcing.cancel()
        await asyncio.to_thread(running.stop)
        (state_dir / STATE_FILE).unlink(missing_ok=True)
        remove(state_dir / "tmp")


async def _until_stopped(stop: asyncio.Event, running) -> None:
    """Return when the server may close: jobs and endpoints end first, while what they write to still answers."""
    await stop.wait()
    await asyncio.to_thread(running.sagemaker.stop_all)


async def _announce(port: int, state_dir: Path) -> None:
    """Write `local.json` once the server answers."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.write(b"GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.readline()
        writer.close()
        if b" 200 " in answer:
            break
        await asyncio.sleep(0.05)
    record = {
        "pid": os.getpid(),
        "port": port,
        "endpoint": f"http://127.0.0.1:{port}",
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    partial = state_dir / f"{STATE_FILE}.part"
    partial.write_text(json.dumps(record))
    partial.replace(state_dir / STATE_FILE)


class Internal:
    """ASGI: answers `/_turnout/...` itself and passes everything else to the emulator."""

    def __init__(self, running, application: Callable) -> None:
        self._running, self._application = running, application
        self._routes = {
            ("GET", "/_turnout/status"): self._status,
            ("POST", "/_turnout/clock"): self._clock,
            ("POST", "/_turnout/faults"): self._faults,
            ("POST", "/_turnout/metrics"): self._metrics,
            ("POST", "/_turnout/reset"): self._reset,
        }

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/_turnout/"):
            await self._application(scope, receive, send)
            return
        route = self._routes.get((scope["method"], scope["path"]))
        status, answer = (404, {"error": "no such route"}) if route is None else await self._answer(route, receive)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _answer(self, route: Callable, receive) -> tuple[int, dict]:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            request = json.loads(body or b"{}")
            return 200, await asyncio.to_thread(route, request)
        except (LookupError, ValueError, TypeError) as error:
            return 400, {"error": str(error)}

    def _status(self, request: dict) -> dict:
        from turnout.local import emulator

        clock = self._running.clock
        return {
            "pid": os.getpid(),
            "now": clock.now().isoformat(),
            "clock_offset_seconds": clock.offset.total_seconds(),
            "scheduler_deliveries": clock.deliveries,
            **self._running.faults.describe(),
            "counts": self._running.counts(),
            "versions": emulator.versions(),
            "ignored": emulator.ignored_here(),
        }

    def _clock(self, request: dict) -> dict:
        if "advance_to_next" in request:
            fired = self._running.clock.advance_to_next(str(request["advance_to_next"]))
        else:
            seconds = float(request["advance_seconds"])
            if seconds < 0:
                raise ValueError("the clock moves forward only")
            fired = self._running.clock.advance(timedelta(seconds=seconds))
        return {"fired": fired, "now": self._running.clock.now().isoformat()}

    def _faults(self, request: dict) -> dict:
        deliveries = int(request.pop("scheduler_deliveries", 1))
        if not 1 <= deliveries <= 10:
            raise ValueError("scheduler_deliveries must be between 1 and 10")
        self._running.faults.set(**request)
        self._running.clock.deliveries = deliveries
        return {"scheduler_deliveries": deliveries, **self._running.faults.describe()}

    def _metrics(self, request: dict) -> dict:
        self._running.age_metrics(str(request["metric"]), float(request["older_by_seconds"]))
        return {}

    def _reset(self, request: dict) -> dict:
        self._running.reset()
        return {}


if __name__ == "__main__":
    sys.exit(main())
