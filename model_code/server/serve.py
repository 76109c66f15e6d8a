"""Serve a model over HTTP the way SageMaker expects of a container: `python serve.py`, no arguments.

The environment says everything else (serving_settings.py). Exits 0 after SIGTERM, once requests in flight are
answered; exits 1 when the model cannot be loaded, the environment is wrong or the port is taken.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

import serving_forest
import serving_machine
import serving_onnx
from serving_columns import Columns
from serving_http import InferenceServer
from serving_script import ModelScript
from serving_settings import BadSetting, Settings

#: SageMaker kills a container 30 seconds after SIGTERM.
DRAIN_SECONDS = 25

logger = logging.getLogger("serving")


def main() -> int:
    """Run until told to stop. Return the process's exit status."""
    try:
        settings = Settings.from_environ(os.environ)
    except BadSetting as error:
        logger.error("cannot start: %s", error)
        return 1
    logging.getLogger().setLevel(settings.log_level)
    _one_thread_per_prediction(settings.threads)
    try:
        server = InferenceServer(settings)
    except OSError as error:
        logger.error("cannot listen on %s:%d: %s", settings.host, settings.port, error)
        return 1
    stop = _stop_on_signal(server)
    logger.info("listening on %s:%d", settings.host, server.server_port)
    if not _load(server):
        return 1
    stop.wait()
    return _finish(server)


def _load(server: InferenceServer) -> bool:
    """Load the model while pings are answered 503. Return whether it worked; if not, the log says why."""
    settings = server.settings
    began = time.perf_counter()
    try:
        columns = Columns(settings.features) if settings.hooks == "columnar" else None
        script = ModelScript.load(settings.model_dir, settings.module, columns)
        exported = settings.onnx and serving_onnx.quicken(script.model, settings.model_dir, script.row_by_row)
        if settings.forest_loop and not exported:
            serving_forest.quicken(script.model)
        script.warm_up()  # last, so that what is warm is what will answer
    except Exception:
        logger.exception("the model in %s cannot be loaded", settings.model_dir)
        return False
    gc.freeze()  # the libraries' objects stay: without this, every full collection walks through all of them
    took = time.perf_counter() - began
    logger.info("ready: model loaded in %.2f s, %d threads", took, settings.threads)
    server.begin(script)  # last: whoever is pinged back finds all of the start in the log
    return True


def _finish(server: InferenceServer) -> int:
    drained = server.drain(DRAIN_SECONDS)
    if not drained:
        logger.error("stopping although requests were still in flight after %d s", DRAIN_SECONDS)
    logger.info("stopped")
    return 0 if drained else 1


def _stop_on_signal(server: InferenceServer) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. While the model loads there is nothing to finish: exit at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if server.script is None:
            raise SystemExit(0)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _one_thread_per_prediction(threads: int) -> None:
    """Share the cores among the request threads, unless the environment says otherwise.

    Libraries that use OpenMP would start as many threads as there are cores for each of them.
    """
    cores = serving_machine.cores()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // threads)))


def _log_by_line() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)


if __name__ == "__main__":
    _log_by_line()
    sys.exit(main())
