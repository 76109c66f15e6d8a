"""A model of several containers: each one's answer is the next one's request."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from turnout.local.sagemaker.container import Answer, Container, Streamed


class Pipeline(Container):
    """Containers in a row, used like one.

    The content type that a container answers with goes on to the next, with a charset if it wrote one; the caller's
    Accept reaches only the last container. The first answer that is no success is the pipeline's.
    """

    def __init__(self, containers: Sequence[Container], log_file: Path) -> None:
        self._containers, self.log_file = containers, log_file

    def __enter__(self) -> "Pipeline":
        with contextlib.ExitStack() as started:
            started.callback(self.stop)
            for container in self._containers:
                container.__enter__()
            started.pop_all()
        return self

    def stop(self) -> None:
        for container in self._containers:
            container.stop()

    def send(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        answer = self._passed_on(body, headers, timeout)
        if not 200 <= answer.status < 300:
            return answer
        return self._containers[-1].send(answer.body, _typed(headers, answer), timeout)

    @contextlib.contextmanager
    def stream(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Iterator[Streamed]:
        answer = self._passed_on(body, headers, timeout)
        if not 200 <= answer.status < 300:
            yield Streamed(answer.status, answer.headers, iter([answer.body]))
            return
        with self._containers[-1].stream(answer.body, _typed(headers, answer), timeout) as streamed:
            yield streamed

    def _passed_on(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """Return the answer of the last container but one, or the first that is no success."""
        kept = {name: value for name, value in headers.items() if name.lower() != "accept"}
        answer = Answer(200, body, {})
        for container in self._containers[:-1]:
            answer = container.send(answer.body, _typed(kept, answer), timeout)
            if not 200 <= answer.status < 300:
                break
        return answer

    def execution_parameters(self) -> dict:
        return self._containers[0].execution_parameters()

    def alive(self) -> bool:
        return all(container.alive() for container in self._containers)

    def healthy(self) -> bool:
        return all(container.healthy() for container in self._containers)

    @property
    def pid(self) -> int | None:
        """The first container's process; each has one of its own."""
        return self._containers[0].pid


def _typed(headers: Mapping[str, str], answer: Answer) -> dict[str, str]:
    """Return the headers with the type of what a container answered; the first container gets the caller's."""
    if "content-type" not in answer.headers:
        return dict(headers)
    kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return {**kept, "Content-Type": answer.headers["content-type"]}
