"""One worker process: loads the model and answers one request at a time, as a worker of the images' servers does.

Started by the front process: `python toolkit_worker.py <image> <code folder> <descriptor of a socket>`. Ends when the
other side of the socket is closed.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import toolkit_packages
import toolkit_wire
from toolkit_answers import Answer, Request
from toolkit_flask import FlaskApplication
from toolkit_huggingface import HuggingFaceHandler
from toolkit_inference import InferenceToolkit
from toolkit_script import ScriptError
from toolkit_settings import Settings, own_settings
from toolkit_xgboost import Booster

PR_SET_PDEATHSIG = 1  # linux/prctl.h

logger = logging.getLogger("toolkit")


def main() -> int:
    _die_with_front()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the front decides when a worker ends: not within a request
    settings = own_settings(sys.argv[1:])
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s - %(name)s - %(message)s")
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # the script must not find these modules by chance
    toolkit_packages.offer()
    try:
        handler = load(settings)
    except ScriptError as error:
        logger.error("%s", error)
        return 1
    except Exception:
        logger.exception("Error loading model")
        return 1
    _serve(socket.socket(fileno=int(sys.argv[3])), handler)
    return 0


def load(settings: Settings) -> Any:
    """Return what answers requests for this image. Raises ScriptError and whatever the script raises."""
    if settings.image == "pytorch":
        return InferenceToolkit(settings)
    if settings.image == "huggingface":
        return HuggingFaceHandler(settings)
    return Booster(settings) if settings.algorithm_mode else FlaskApplication(settings)


def _serve(sock: socket.socket, handler: Any) -> None:
    toolkit_wire.send(sock, {"ready": True})
    while True:
        try:
            head, body = toolkit_wire.receive(sock)
        except (EOFError, ConnectionError):
            return
        if head["path"] == "/execution-parameters":
            answer = handler.execution_parameters()
        else:
            answer = handler.answer(Request(body, head["headers"]))
        _send(sock, answer)


def _send(sock: socket.socket, answer: Answer) -> None:
    head = {"status": answer.status, "type": answer.content_type, "headers": dict(answer.headers)}
    if isinstance(answer.body, bytes):
        toolkit_wire.send(sock, head, answer.body)
        return
    toolkit_wire.send(sock, {**head, "parts": True})
    broken = False
    parts: Iterator[bytes] = answer.body
    try:
        for part in parts:
            toolkit_wire.send(sock, {"part": True}, part)
    except ConnectionError:
        raise
    except Exception:
        logger.exception("the model failed while it was streaming")
        broken = True
    toolkit_wire.send(sock, {"part": False, "broken": broken})


def _die_with_front() -> None:
    """Have the kernel kill this process with its parent; elsewhere than on Linux the closed socket ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
