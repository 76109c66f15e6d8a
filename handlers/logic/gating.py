"""The gate between two modes: requests of CloudFormation in, looks until there is a verdict, one answer out."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from handlers.contract.gating import Proof
from handlers.logic.moments import format_moment, parse_moment, seconds_between
from handlers.logic.proofs import FAILED, PROVED, PROVING, Verdict, readable

Event = dict[str, Any]
Look = Callable[[Proof], Verdict]

#: CloudFormation takes an answer of at most this many bytes, all of it counted.
MAX_ANSWER_BYTES = 4_096
#: Of a failure's own text this much is enough for anybody.
MAX_REASON = 2_500

#: States of a stack in which CloudFormation restores what was there before. Nothing is proved then: what it restores
#: served clients a moment ago, and a gate that refused it would leave the stack in UPDATE_ROLLBACK_FAILED.
RESTORING = frozenset({"UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"})


def opened(event: Event, *, stage: str, model: str, now: datetime) -> Proof:
    """Return what a request of CloudFormation asks to be proved. Raises KeyError for what is no such request."""
    properties, old = event["ResourceProperties"], event.get("OldResourceProperties") or {}
    kind = properties["Kind"]
    return Proof(
        kind=kind,
        request_type=event["RequestType"],
        response_url=event["ResponseURL"],
        stack_id=event["StackId"],
        request_id=event["RequestId"],
        logical_id=event["LogicalResourceId"],
        # The same name for ever: another one would make CloudFormation delete what it takes for the old resource.
        physical_id=event.get("PhysicalResourceId") or f"{stage}-{model}-{kind}",
        properties=properties,
        old_mode=old.get("Mode", ""),
        old_endpoint=old.get("Endpoint", ""),
        old_config=old.get("EndpointConfig", ""),
        deadline=format_moment(now + timedelta(seconds=int(properties["BoundSeconds"]))),
        started_at=format_moment(now),
        withdrawn=_is_withdrawn(old, properties),
    )


def _is_withdrawn(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Say whether nothing has changed but that lost answers are acknowledged no more.

    The other way round is looked at: a proof that lacked the word may have failed, and its mode never been proved.
    """
    word = "LostAnswersAcknowledged"
    return old.get(word) == "true" and {**old, word: "false"} == dict(new)


def unopened(event: Event) -> dict[str, Any]:
    """Return as much of a proof as any answer to CloudFormation needs, of a request that may lack the rest."""
    logical_id = event["LogicalResourceId"]
    return {
        "kind": (event.get("ResourceProperties") or {}).get("Kind", ""),
        "response_url": event["ResponseURL"],
        "stack_id": event["StackId"],
        "request_id": event["RequestId"],
        "logical_id": logical_id,
        "physical_id": event.get("PhysicalResourceId") or logical_id,
        "old_mode": (event.get("OldResourceProperties") or {}).get("Mode", ""),
    }


def decided_at_once(proof: Proof, stack_status: Callable[[str], str]) -> Proof | None:
    """Return the proof with its verdict where nothing has to be looked at, else None.

    On the way back nothing is proved again, but who was accepted meanwhile is still waited for.
    """
    if proof["request_type"] == "Delete":
        return _with(proof, Verdict(PROVED, "deleted; there is nothing to undo"))
    if proof["kind"] == "prove" and proof.get("withdrawn"):
        return _with(proof, Verdict(PROVED, "only the word under `acknowledge` is gone; the mode was proved with it"))
    restores = proof["kind"] == "prove" and proof["request_type"] == "Update"
    if restores and stack_status(proof["stack_id"]) in RESTORING:
        return _with(proof, Verdict(PROVED, "the stack goes back to what it was; that is not proved again"))
    return None


def looked(proof: Proof, looks: Mapping[str, Look], now: Callable[[], datetime]) -> Proof:
    """Look once and return the proof with state and reason; at the deadline there is a verdict in any case.

    A proof with a `failure` is a drain whose last look failed; past the deadline it is not tried again.
    """
    failure, deadline = proof.get("failure"), parse_moment(proof["deadline"])
    if failure and now() >= deadline:
        verdict = Verdict(PROVING, f"nobody could look who still waits: {_words(failure)}")
    else:
        verdict = looks[proof["kind"]](proof)
    if verdict.state == PROVING and now() >= deadline:
        verdict = OVERDUE[proof["kind"]](verdict, seconds_between(proof["started_at"], now()))
    return _with({name: value for name, value in proof.items() if name != "failure"}, verdict)


def _words(failure: Mapping[str, Any]) -> str:
    return f"{failure.get('Error')}: {readable(failure.get('Cause') or '')}"


def _proof_overdue(verdict: Verdict, seconds: int) -> Verdict:
    return Verdict(FAILED, f"the proof was given up after {seconds} s; the last thing awaited was: {verdict.reason}")


def _drain_overdue(verdict: Verdict, seconds: int) -> Verdict:
    return Verdict(PROVED, f"the old endpoint is let go after {seconds} s although {verdict.reason}")


#: Kind -> the verdict when time is up: an unproved mode must not serve, and an old one must not stay for ever.
OVERDUE: dict[str, Callable[[Verdict, int], Verdict]] = {"prove": _proof_overdue, "drain": _drain_overdue}


def _with(proof: Proof, verdict: Verdict) -> Proof:
    return {**proof, **verdict.keep, "state": verdict.state, "reason": verdict.reason}


def failed(proof: Mapping[str, Any], error: str) -> dict[str, Any]:
    """Return a proof that ends with something nobody foresaw."""
    return {**proof, "state": FAILED, "reason": f"the gate itself failed: {error}. Deploy again; see its log"}


def answer_of(proof: Mapping[str, Any]) -> bytes:
    """Return the body that CloudFormation wants at the response URL, never longer than it takes.

    A proof without a verdict is one whose step failed: Step Functions has put the error into `failure`.
    """
    if proof.get("failure"):
        proof = failed(proof, _words(proof["failure"]))
    reason, status = proof.get("reason") or "the gate came to no verdict", STATUS.get(proof.get("state"), "FAILED")
    text = reason[:MAX_REASON] + _standing(proof) if status == "FAILED" else reason[:MAX_REASON]
    body = {
        "Status": status,
        "PhysicalResourceId": proof["physical_id"],
        "StackId": proof["stack_id"],
        "RequestId": proof["request_id"],
        "LogicalResourceId": proof["logical_id"],
        "NoEcho": False,
        "Data": {},
    }
    room = MAX_ANSWER_BYTES - len(_encoded({**body, "Reason": ""}))
    while len(json.dumps(text)) - 2 > room:
        text = text[: len(text) * 9 // 10]
    return _encoded({**body, "Reason": text})


#: State of a proof -> what CloudFormation is told; nothing else is a success.
STATUS = {PROVED: "SUCCESS", FAILED: "FAILED"}


def _standing(proof: Mapping[str, Any]) -> str:
    """Return where that leaves clients, which is the first thing anybody woken up wants to know."""
    old = proof.get("old_mode")
    kind = "update" if _is_in_place(proof) else proof["kind"]
    return STANDING.get(kind, "").format(old=old) if old else ". Nobody is served yet."


def _is_in_place(proof: Mapping[str, Any]) -> bool:
    """Say whether the endpoint that answers clients was itself updated: to other counts or limits, never a model."""
    properties = proof.get("properties") or {}
    same = bool(proof.get("old_endpoint")) and proof["old_endpoint"] == properties.get("Endpoint")
    return proof["kind"] == "prove" and same and proof.get("old_config") != properties.get("EndpointConfig")


STANDING = {
    "prove": ". Clients have noticed nothing: mode {old} still answers them.",
    "update": ". Mode {old} still answers, with the model that it had; counts and limits of its endpoint go back.",
    "drain": ". Nothing was taken away, and CloudFormation goes back to mode {old}.",
}


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
