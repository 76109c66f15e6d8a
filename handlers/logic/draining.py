"""The drain: the old release of the front door and the old endpoint stay until nobody waits for them any more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from handlers.contract import layout
from handlers.contract.gating import Proof
from handlers.contract.records import Request
from handlers.logic.gating_ports import Requests
from handlers.logic.moments import seconds_between
from handlers.logic.ports import Clock, Objects
from handlers.logic.proofs import PROVED, PROVING, Verdict


@dataclass(frozen=True)
class Drain:
    """One model's drain: who might still wait, and where answers appear."""

    model: str
    data_bucket: str
    requests: Requests
    objects: Objects
    clock: Clock


def drain(drain: Drain, proof: Proof) -> Verdict:
    """May CloudFormation go on and delete what the front door used before: its version, its role, an endpoint?"""
    if proof["request_type"] == "Create":
        return Verdict(PROVED, "there was no front door before, so nobody waits for one")
    now, least = drain.clock(), int(proof["properties"]["DrainSeconds"])
    waited = seconds_between(proof["started_at"], now)
    if waited < least:
        return Verdict(PROVING, f"requests under way may still need the old front door: {waited} of {least} s waited")
    old = proof["old_endpoint"]
    if not old or old == proof["properties"]["Endpoint"]:
        return Verdict(PROVED, "no endpoint goes away, so nobody waits for one")
    unanswered = _unanswered(drain, now, old)
    if unanswered:
        first = min(unanswered, key=lambda request: request.id)
        return Verdict(
            PROVING,
            f"{len(unanswered)} asynchronous requests are not answered yet, the oldest is {first.id}: endpoint {old} "
            "stays until they are",
        )
    return Verdict(PROVED, f"nobody waits for endpoint {old} any more")


def _unanswered(drain: Drain, now: datetime, endpoint: str) -> list[Request]:
    waiting = [request for request in drain.requests.waiting(now) if request.endpoint == endpoint]
    if not waiting:
        return []
    outputs = _written(drain, layout.async_output_prefix(drain.model), (request.output_uri for request in waiting))
    failures = _written(drain, layout.async_failure_prefix(drain.model), (request.failure_uri for request in waiting))
    return [each for each in waiting if each.output_uri not in outputs and each.failure_uri not in failures]


def _written(drain: Drain, prefix: str, awaited: Iterable[str]) -> set[str]:
    """Return the URIs of what was written under a prefix, from the first that is awaited on.

    Answers lie there for days. They are named after ids, which sort by time, so that those from before the oldest
    request that still waits are passed over.
    """
    bucket = f"s3://{drain.data_bucket}/"
    just_before = min(awaited).removeprefix(bucket)[:-1]  # a listing starts past a key, and the first one counts too
    return {bucket + entry.key for entry in drain.objects.list(drain.data_bucket, prefix, just_before)}
