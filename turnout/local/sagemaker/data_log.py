"""The log that SageMaker itself writes beside a container's: what it asked the container, and what came of it."""

import threading
import time
from pathlib import Path


class DataLog:
    """Lines in SageMaker's own form, in a file that a LogShipper follows. Any thread may write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1, encoding="utf-8", errors="replace")
        self._lock = threading.Lock()

    def write(self, *lines: str, inference_id: str | None = None) -> None:
        """Write lines, those about one request of an endpoint with its id.

        Of both forms examples are public: aws/sagemaker-tensorflow-serving-container#93 for jobs,
        awsdocs/amazon-sagemaker-developer-guide#203 for endpoints. Nothing is written once the log is closed: what
        outlives its instance has nowhere to stand on AWS either.
        """
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}"
        author = "[sagemaker logs]:" if inference_id is None else f"[sagemaker logs] [{inference_id}]"
        with self._lock:
            if not self._file.closed:
                self._file.writelines(f"{moment}:{author} {line}\n" for line in lines)

    def close(self) -> None:
        with self._lock:
            self._file.close()
