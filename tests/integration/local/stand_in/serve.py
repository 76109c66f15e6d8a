"""A model server that sums numbers, for tests of the local cloud: SageMaker's container contract without a framework.

The model's `settings.json` may ask for trouble: `crash` (text) ends it at start, `fail_on` (text) answers 500
to a body that contains it, `reject_on` 400, `swallow_on` drops those lines, `slow` (seconds) delays each answer,
`flaky` (count) answers the first requests 503.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = Path(os.environ["TURNOUT_MODEL_DIR"])
SETTINGS = json.loads((MODEL / "settings.json").read_text())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(f"POST {len(body)} bytes, {body.count(chr(10))} lines, {self.headers['Content-Type']}", flush=True)
        time.sleep(SETTINGS.get("slow", 0))
        if SETTINGS.get("flaky", 0) > 0:
            SETTINGS["flaky"] -= 1
            return self._answer(503, b"try again")
        for setting, status in (("fail_on", 500), ("reject_on", 400)):
            if SETTINGS.get(setting) and SETTINGS[setting] in body:
                return self._answer(status, f"cannot score {SETTINGS[setting]}".encode())
        lines = [line for line in body.splitlines() if SETTINGS.get("swallow_on", "\0") not in line]
        return self._answer(200, "\n".join(self._score(line) for line in lines).encode())

    def _score(self, line: str) -> str:
        if self.headers["Content-Type"] == "text/csv":
            return str(sum(float(value) for value in line.split(",")) + SETTINGS.get("plus", 0))
        return json.dumps({"total": sum(json.loads(line).values())})

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        return


if __name__ == "__main__":
    print("environment", json.dumps({k: v for k, v in os.environ.items() if k.startswith("SAGEMAKER_")}), flush=True)
    if "crash" in SETTINGS:
        sys.exit(SETTINGS["crash"])
    where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    ThreadingHTTPServer(where, Handler).serve_forever()
