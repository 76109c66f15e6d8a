"""An open-loop load on one model's front door, and the account of what it was answered while the mode changed.

Requests leave on schedule whatever becomes of the earlier ones, so a front door that hesitates meets the same load as
one that does not, and latency counts from the moment at which a request was due. Each answer is held against what
the mode that it names promises (PROMISES), and the order of modes against `moved_once`.
"""

import asyncio
import json
import math
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from rich.table import Table

from handlers.contract.modes import ServingMode
from handlers.logic.families import FAMILIES

TIMEOUT_SECONDS = 35  # an HTTP API gives up after 30
#: How long an accepted request (202) may take until its answer is there.
LATER_SECONDS = 300
SHORTEST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.05, 2.0

Body = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One request that the load may send. `expected` holds the prediction of each instance, in order.

    `may_be_later`: where a promise leaves it open, 202 is right as well, for the fallback answers later.
    """

    kind: str
    method: str
    path: str
    body: str | None
    expected: tuple[Any, ...]
    may_be_later: bool = False


@dataclass(frozen=True)
class Promise:
    """What a mode promises to one kind of question: a status, and for an error its code.

    `later`: the first answer must be 202; the promise then is about what comes after it. None: that is the question's.
    """

    status: int
    code: str | None = None
    later: bool | None = False


#: Kinds of questions: who asks how.
LOOKUP, KEY, FEATURES, BOTH, SEVERAL = "GET known key", "POST key", "POST features", "POST key and features", "POST two"
ABSENT, NEWCOMER = "GET absent key", "POST absent key and features"
KINDS = (LOOKUP, KEY, FEATURES, BOTH, SEVERAL, ABSENT, NEWCOMER)

_YES, _LATER, _YES_OR_LATER = Promise(200), Promise(200, later=True), Promise(200, later=None)
_REFUSED = Promise(409, "not_servable_live")
_UNKNOWN, _NEEDS_KEY = Promise(404, "unknown_key"), Promise(400, "bad_key")
_NEEDS_FEATURES = Promise(422, "features_needed")

_LIVE = {
    LOOKUP: _NEEDS_FEATURES,
    KEY: _NEEDS_FEATURES,
    FEATURES: _YES,
    BOTH: _YES,
    SEVERAL: _YES,
    ABSENT: _NEEDS_FEATURES,
    NEWCOMER: _YES,
}

#: Mode -> what each kind of question gets in it.
PROMISES: dict[ServingMode, dict[str, Promise]] = {
    ServingMode.BATCH: dict.fromkeys(KINDS, _REFUSED),
    ServingMode.PRECOMPUTE: {
        LOOKUP: _YES,
        KEY: _YES,
        FEATURES: _NEEDS_KEY,
        BOTH: _YES,
        SEVERAL: _YES,
        ABSENT: _UNKNOWN,
        NEWCOMER: _UNKNOWN,
    },
    ServingMode.HYBRID: {
        **dict.fromkeys(KINDS, _YES),
        FEATURES: _YES_OR_LATER,
        ABSENT: _UNKNOWN,
        NEWCOMER: _YES_OR_LATER,
    },
    ServingMode.REALTIME: _LIVE,
    ServingMode.SERVERLESS: _LIVE,
    ServingMode.ASYNC: {kind: _LATER if promise is _YES else promise for kind, promise in _LIVE.items()},
}


def questions_of(model: str, samples: Path, *, key: str, prediction: str, fallback: str = "realtime") -> list[Question]:
    """Return the questions that a model's sample payloads allow, all kinds of them.

    The samples' keys must be in the model's input, with the samples' features: then every mode predicts the same.
    `fallback` is mode hybrid's.
    """
    rows = json.loads(samples.read_text())["rows"]
    route = f"/models/{model}/predictions"

    def ask(kind: str, body: Body, *expected: Any) -> Question:
        return Question(kind, "POST", route, json.dumps(body), expected, FAMILIES[fallback].later)

    questions = []
    for number, (row, other) in enumerate(zip(rows, rows[1:] + rows[:1], strict=True)):
        features, want = row["features"], row[prediction]
        both, two = ({"key": each[key], "features": each["features"]} for each in (row, other))
        questions += [
            Question(LOOKUP, "GET", f"{route}/{quote(str(row[key]), safe='')}", None, (want,)),
            ask(KEY, {"key": row[key]}, want),
            ask(FEATURES, {"features": features}, want),
            ask(BOTH, both, want),
            ask(SEVERAL, {"instances": [both, two]}, want, other[prediction]),
            Question(ABSENT, "GET", f"{route}/nobody-{number}", None, ()),
            ask(NEWCOMER, {"key": f"newcomer-{number}", "features": features}, want),
        ]
    return questions


@dataclass
class Sent:
    """One request and all that became of it. Moments are seconds of `time.monotonic`.

    `status` and `mode` are those of the first answer; `final` is the status after following a 202.
    """

    question: Question
    due: float
    sent: float = 0.0
    answered: float = 0.0
    status: int = 0
    mode: str | None = None
    code: str | None = None
    final: int = 0
    finished: float = 0.0
    predictions: tuple[Any, ...] = ()
    error: str = ""

    @property
    def latency(self) -> float:
        """Seconds from when the request was due to its first answer."""
        return self.answered - self.due


class Load:
    """Sends questions to `api_url`, `rate` a second, from `start` to `stop`, on a thread of its own.

    The same seed gives the same questions in the same order.
    """

    def __init__(self, api_url: str, questions: Sequence[Question], *, rate: float = 25.0, seed: int = 0) -> None:
        self.api_url, self.rate = api_url.rstrip("/"), rate
        self.sent: list[Sent] = []
        self._questions = _mixed(questions, random.Random(seed))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._signer = _Signer()
        self._failure: BaseException | None = None

    def start(self) -> "Load":
        self._thread.start()
        return self

    def stop(self) -> list[Sent]:
        """Send no more, wait until everything sent is answered (or has timed out), and return it all."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self.sent

    def settle(self) -> float:
        """Wait until everything sent so far is answered, also what was accepted for later; return this moment."""
        moment = time.monotonic()
        waiting = [one for one in list(self.sent) if one.due <= moment]
        while self._thread.is_alive() and waiting:
            time.sleep(0.05)
            waiting = [one for one in waiting if not one.finished]
        return moment

    def between(self, begin: float, end: float) -> list[Sent]:
        """Return what was due from `begin` on and before `end`."""
        return [one for one in list(self.sent) if begin <= one.due < end]

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                begin = time.monotonic()
                for number, question in enumerate(self._questions):
                    due = begin + number / self.rate
                    if (wait := due - time.monotonic()) > 0:
                        await asyncio.sleep(wait)
                    if self._stopping.is_set():
                        return
                    one = Sent(question, due)
                    self.sent.append(one)
                    tasks.create_task(self._ask(one))
        except BaseException as error:  # noqa: BLE001 it is raised where the thread is joined
            self._failure = error

    async def _ask(self, one: Sent) -> None:
        question = one.question
        try:
            one.sent = time.monotonic()
            status, headers, body = await self._call(question.method, question.path, question.body)
            one.answered = time.monotonic()
            one.status = one.final = status
            one.mode, one.code = _mode_of(body), _error_of(body).get("code")
            if status == 202:
                one.final, body = await self._follow(headers, body)
                one.code = _error_of(body).get("code")
            one.predictions = _predictions_of(body)
        except (OSError, EOFError, HTTPException, ValueError, TimeoutError) as error:
            one.error = repr(error)
            one.answered = one.answered or time.monotonic()
        one.finished = time.monotonic()

    async def _follow(self, headers: dict[str, str], body: Body) -> tuple[int, Body]:
        """GET the location until it is no longer 202. Raises TimeoutError, and ValueError without a location."""
        location = headers.get("location")
        if not location:
            raise ValueError(f"202 without a location: {body}")
        deadline = time.monotonic() + LATER_SECONDS
        while True:
            pause = float(headers.get("retry-after", 1))
            await asyncio.sleep(min(max(pause, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS))
            status, headers, body = await self._call("GET", location, None)
            if status != 202:
                return status, body
            if time.monotonic() > deadline:
                raise TimeoutError(f"{location} is still 202 after {LATER_SECONDS} s")

    async def _call(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, str], Body]:
        url = path if "://" in path else self.api_url + path
        raw = await asyncio.wait_for(_exchange(url, self._signer.request(method, url, body)), TIMEOUT_SECONDS)
        response = HTTPResponse(_Received(raw))
        response.begin()
        answer = json.loads(response.read())
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, answer if isinstance(answer, dict) else {"body": answer}


def _mixed(questions: Sequence[Question], chance: random.Random) -> Iterable[Question]:
    """Yield questions for ever: each kind as often as any other, each of its questions too."""
    by_kind: dict[str, list[Question]] = {}
    for question in questions:
        by_kind.setdefault(question.kind, []).append(question)
    kinds = sorted(by_kind)
    while True:
        yield chance.choice(by_kind[chance.choice(kinds)])


class _Signer:
    """Turns a call into the bytes of a signed HTTP/1.1 request."""

    def __init__(self) -> None:
        session = boto3.Session()
        self._credentials, self._region = session.get_credentials(), session.region_name or "us-east-1"

    def request(self, method: str, url: str, body: str | None) -> bytes:
        parts = urlsplit(url)
        data = (body or "").encode()
        signed = AWSRequest(method, url, data=data, headers={"Content-Type": "application/json"})
        if self._credentials is not None:
            SigV4Auth(self._credentials.get_frozen_credentials(), "execute-api", self._region).add_auth(signed)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {
            **dict(signed.headers),
            "Host": parts.netloc,
            "Content-Length": str(len(data)),
            "Connection": "close",
        }
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + data


async def _exchange(url: str, request: bytes) -> bytes:
    """Send a request on a connection of its own and return everything that comes back."""
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        parts.hostname,
        parts.port or (443 if secure else 80),
        ssl=secure,
        server_hostname=parts.hostname if secure else None,
    )
    try:
        writer.write(request)
        await writer.drain()
        raw = await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if not raw:
        raise EOFError("the connection was closed without an answer")
    return raw


class _Received:
    """Bytes in the place of the socket that HTTPResponse reads from."""

    def __init__(self, raw: bytes) -> None:
        self._file = BytesIO(raw)

    def makefile(self, mode: str) -> BytesIO:
        return self._file


def _error_of(body: Body) -> Body:
    error = body.get("error")
    return error if isinstance(error, dict) else {}


def _mode_of(body: Body) -> str | None:
    """Return the mode that an answer names: in itself, in its error, or in its predictions, which must agree."""
    named = [body, _error_of(body), *_entries(body)]
    modes = {entry["mode"] for entry in named if isinstance(entry, dict) and entry.get("mode")}
    return modes.pop() if len(modes) == 1 else None


def _entries(body: Body) -> list[Any]:
    entries = body.get("predictions")
    return entries if isinstance(entries, list) else []


def _predictions_of(body: Body) -> tuple[Any, ...]:
    entries = _entries(body) or ([body] if "prediction" in body else [])
    return tuple(entry.get("prediction") if isinstance(entry, dict) else None for entry in entries)


# What was answered against what was promised


def fault_of(one: Sent, allowed: Iterable[str]) -> str | None:
    """Return what is wrong with one answer, None if nothing is. `allowed` are the modes that may answer."""
    if one.error:
        return f"no answer: {one.error}"
    if one.status >= 500:
        return f"{one.status} {one.code}"
    if one.mode is None:
        return f"{one.status} {one.code or ''} does not name the mode"
    if one.mode not in set(allowed):
        return f"mode {one.mode} answered"
    promise = PROMISES[ServingMode(one.mode)][one.question.kind]
    later = {False, one.question.may_be_later} if promise.later is None else {promise.later}
    if (one.status == 202) not in later:
        return f"{one.mode} answered {one.status} {one.code or ''} first"
    if (one.final, one.code) != (promise.status, promise.code):
        return f"{one.mode} answered {one.final} {one.code or ''}, not {promise.status} {promise.code or ''}"
    if promise.status == 200 and one.predictions != one.question.expected:
        return f"{one.mode} predicted {one.predictions}, not {one.question.expected}"
    return None


@dataclass(frozen=True)
class Move:
    """When the front door moved from one mode to another.

    At some instant between `earliest` and `latest` it did: every request answered before that instant got the old
    mode, every request sent after it got the new one, and those under way at that instant got either. That such an
    instant exists is what "the mode changes exactly once" means here, and it is all that a client could ever notice:
    nobody who has seen an answer of the new mode gets one of the old mode to a later request.
    """

    earliest: float
    latest: float


def moved_once(sent: Iterable[Sent], old: str, new: str) -> Move | str:
    """Return the move from `old` to `new`, or a sentence that says why there was not exactly one.

    The instant must not be before any request that got the old mode was sent, nor after any answer of the new mode
    had arrived: so the last sending among the old must not come after the first arrival among the new.
    """
    answered = [one for one in sent if one.mode is not None]
    if old == new:
        return Move(0.0, 0.0)
    before = [one for one in answered if old == one.mode]
    after = [one for one in answered if new == one.mode]
    if not before or not after:
        return f"no answer of mode {new if before else old} was seen"
    last_old, first_new = max(before, key=lambda one: one.sent), min(after, key=lambda one: one.answered)
    if last_old.sent > first_new.answered:
        late = sum(one.sent > first_new.answered for one in before)
        return f"mode {old} answered {late} requests that were sent after an answer of mode {new} had arrived"
    return Move(last_old.sent, first_new.answered)


def shifted(sent: Iterable[Sent], old: str, tried: str, new: str, begin: float, end: float) -> Move | str:
    """Return when requests were shifted step by step from `old` to `tried`, or a sentence that says what was wrong.

    Between `begin` and `end` either mode may answer any request, and both must: that is what a shift is. Before, only
    `old` answers; after, only `new`, which is `tried`, or `old` again where an alarm took the shift back.
    """
    answered = [one for one in sent if one.mode is not None]
    if early := sum(old != one.mode for one in answered if one.answered < begin):
        return f"{early} requests were not answered by mode {old} before the shift"
    if late := sum(new != one.mode for one in answered if one.sent > end):
        return f"{late} requests were not answered by mode {new} after the shift"
    before = [one.sent for one in answered if old == one.mode]
    after = [one.answered for one in answered if tried == one.mode]
    if not before or not after:
        return f"no answer of mode {tried if before else old} was seen"
    if max(before) <= min(after):
        return f"mode {tried} took over at one instant: nothing was shifted step by step"
    return Move(min(after), max(before))


@dataclass(frozen=True)
class Part:
    """Some seconds of load. Latencies are milliseconds from when a request was due to its first answer."""

    sent: int
    answered: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, sent: Sequence[Sent]) -> "Part":
        answered = [one for one in sent if not one.error]
        latencies = sorted(one.latency * 1000 for one in answered) or [float("nan")]
        return cls(
            len(sent),
            len(answered),
            percentile(latencies, 0.50),
            percentile(latencies, 0.99),
            latencies[-1],
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Report:
    """What clients got while one mode gave way to another (or, where old and new are the same, did not)."""

    old: str
    new: str
    seconds: float  # of the deploy
    before: Part
    during: Part
    after: Part
    moved: float | None  # seconds from the deploy's begin to the move
    statuses: dict[str, int]
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not self.faults

    def to_body(self) -> Body:
        return asdict(self)


def report_of(
    load: Load,
    old: str,
    new: str,
    *,
    begin: float,
    deploy: float,
    deployed: float,
    end: float,
    shifted_to: str | None = None,
) -> Report:
    """Return the account of one switch: load from `begin` to `end`, around a deploy from `deploy` to `deployed`.

    `shifted_to` is the mode to which the deploy shifted requests step by step, whether it stayed there or not.
    """
    sent = load.between(begin, end)
    allowed = {old, new, shifted_to or new}
    faults = Counter(f"{one.question.kind}: {fault}" for one in sent if (fault := fault_of(one, allowed)) is not None)
    move = moved_once(sent, old, new) if shifted_to is None else shifted(sent, old, shifted_to, new, deploy, deployed)
    if isinstance(move, str):
        faults[move] += 1
    return Report(
        old=old,
        new=new,
        seconds=deployed - deploy,
        before=Part.of(load.between(begin, deploy)),
        during=Part.of(load.between(deploy, deployed)),
        after=Part.of(load.between(deployed, end)),
        moved=move.latest - deploy if isinstance(move, Move) and old != new else None,
        statuses=dict(sorted(Counter(_status_text(one) for one in sent).items())),
        faults=dict(faults.most_common(20)),
    )


def _status_text(one: Sent) -> str:
    return "none" if one.error else f"{one.status}" if one.status == one.final else f"{one.status} then {one.final}"


def table_of(reports: Iterable[Report]) -> Table:
    """Return the account of several switches as a table, one line each."""
    title = "What clients got (deploy and move in s, before, during and after: p50/p99 in ms)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("switch", no_wrap=True)
    for name in ("deploy", "moved", "sent", "answered", "before", "during", "after", "faults"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        parts = (report.before, report.during, report.after)
        table.add_row(
            f"{report.old} → {report.new}",
            f"{report.seconds:.1f}",
            "-" if report.moved is None else f"{report.moved:.1f}",
            f"{sum(part.sent for part in parts):,}",
            f"{sum(part.answered for part in parts):,}",
            *(f"{part.p50:.0f}/{part.p99:.0f}" for part in parts),
            str(sum(report.faults.values())),
        )
    return table


def tour(modes: Sequence[str], *, start: str | None = None) -> list[str]:
    """Return a walk through every ordered pair of modes, each once, that ends where it began.

    So n modes take n x (n - 1) deploys, the fewest that show every switch. The first mode is `start`.
    """
    first = start or modes[0]
    unused = {mode: [other for other in reversed(modes) if other != mode] for mode in modes}
    walk, stack = [], [first]
    while stack:
        here = stack[-1]
        if unused[here]:
            stack.append(unused[here].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


def cycle(modes: Sequence[str], *, start: str | None = None) -> list[str]:
    """Return a walk that visits every mode once and comes back."""
    place = modes.index(start) if start else 0
    return [*modes[place:], *modes[: place + 1]]


def pairs(walk: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(walk))


def until(probe: Callable[[], Any], what: str, seconds: float) -> Any:
    """Poll until `probe` returns something true and return that. Raises TimeoutError that says what was awaited."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)
    return found
