"""What a mode must show before clients meet it, and how each of these things is looked at.

A look never waits: it says `proving` and what is missing, and the gate's machine comes back a few seconds later.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from handlers.contract.answering import refuse_loss, refuse_silence, takes_the_model_away
from handlers.contract.card import ModelCard
from handlers.contract.gating import Asked, Proof
from handlers.contract.layout import are_kin
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation, Run
from handlers.logic.gating_ports import Endpoints, EndpointState, Executions, ModelAnswered, NotReady, Traffic
from handlers.logic.moments import parse_moment, seconds_between
from handlers.logic.ports import Clock, ObjectMissing, Objects, Records
from handlers.logic.rows import content_type
from handlers.logic.run_identity import run_id_of
from handlers.logic.samples import Samples, UnusableSamples

PROVING, PROVED, FAILED = "proving", "proved", "failed"

#: A fault that another look may clear (a stale read, a container's hiccup) is believed when seen this often in a row.
BELIEVED_AFTER = 3


class Wanted(StrEnum):
    """Things that can be proved."""

    ENDPOINT_SYNC = "an endpoint that answers at once"
    ENDPOINT_ASYNC = "an endpoint that answers later"
    GENERATION = "a generation of scores"


#: What each mode needs; hybrid needs, beside this, what its fallback needs.
WANTED: dict[ServingMode, tuple[Wanted, ...]] = {
    ServingMode.BATCH: (),
    ServingMode.PRECOMPUTE: (Wanted.GENERATION,),
    ServingMode.HYBRID: (Wanted.GENERATION,),
    ServingMode.REALTIME: (Wanted.ENDPOINT_SYNC,),
    ServingMode.SERVERLESS: (Wanted.ENDPOINT_SYNC,),
    ServingMode.ASYNC: (Wanted.ENDPOINT_ASYNC,),
}


def wanted_of(mode: str, fallback: str) -> tuple[Wanted, ...]:
    """Return what is to be proved, endpoints first: a look at them is cheap. `fallback` is empty but for hybrid."""
    live = WANTED[ServingMode(fallback)] if fallback else ()
    return live + WANTED[ServingMode(mode)]


@dataclass(frozen=True)
class Verdict:
    """What a look came to. `reason` is one sentence; `keep` goes into the Proof for the next look.

    `doubtful`: a failure that is believed only when it is seen several times in a row.
    """

    state: str
    reason: str
    keep: dict[str, Any] = field(default_factory=dict)
    doubtful: bool = False


@dataclass(frozen=True)
class Gate:
    """One model's gate: what it looks at, and with what."""

    model: str
    fallback: str
    pipeline: str
    most_instances: int
    card: Callable[[], ModelCard]
    samples: Callable[[], Samples | None]
    endpoints: Endpoints
    executions: Executions
    records: Records
    objects: Objects
    traffic: Traffic
    clock: Clock


def look_at_sync(gate: Gate, proof: Proof) -> Verdict:
    """Is the endpoint in service as deployed, and does it answer the samples as training did?"""
    return _in_service(gate, proof) or _large_enough(gate, proof) or _answered_now(gate, proof)


def look_at_async(gate: Gate, proof: Proof) -> Verdict:
    """As look_at_sync, by way of the queue: the samples are sent once and their answer is waited for."""
    return _in_service(gate, proof) or _large_enough(gate, proof) or _answered_later(gate, proof)


def look_at_generation(gate: Gate, proof: Proof) -> Verdict:
    """Is a fresh generation of this model version visible? If not, make one and wait for it.

    Fresh is what was scored a short while ago, for scoring the same data again at each deployment would prove nothing.
    Where lookups refuse old scores the data themselves must be, or else the front door would answer nobody.
    """
    fresh_seconds = int(proof["properties"]["FreshSeconds"])
    if proof["request_type"] == "Create":
        return Verdict(PROVED, "this is the first deployment: nobody is served yet, so no generation is awaited")
    if fresh_seconds == 0:
        return Verdict(PROVED, "no generation is asked for")
    version, visible = proof["properties"]["ModelVersion"], _visible(gate)
    refuses_stale = proof["properties"].get("RefusesStale") == "true"
    age = seconds_between(proved_since(visible, refuses_stale=refuses_stale), gate.clock()) if visible else 0
    if visible and visible.model_version == version and age <= fresh_seconds:
        return Verdict(PROVED, f"generation {visible.id} of this model version is visible and {age} s old")
    trigger = {"trigger": "gate", "slot": proof["started_at"], "id": proof["request_id"]}
    if "execution" not in proof:
        execution = gate.executions.start(gate.pipeline, execution_name(proof["request_id"]), trigger)
        why = _why_not(visible, version, age, fresh_seconds)
        return Verdict(PROVING, f"{why}, so run {run_id_of(trigger)} was started", {"execution": execution})
    verdict = _run(gate, proof["execution"], run_id_of(trigger), visible)
    if verdict.state == PROVED and refuses_stale and age > fresh_seconds:
        return Verdict(FAILED, _all_refused(visible, age, fresh_seconds))
    return verdict


def proved_since(generation: Generation, *, refuses_stale: bool) -> str:
    """Return the moment from which a generation's age counts as proof: `refuses_stale` is `on_stale: refuse`."""
    return generation.as_of if refuses_stale else generation.scored_at


def execution_name(request_id: str) -> str:
    """Return a name of a pipeline's execution: the same request of CloudFormation gives the same name."""
    return "gate-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in request_id)[:75]


#: Thing to be proved -> the look at it.
LOOKS: dict[Wanted, Callable[[Gate, Proof], Verdict]] = {
    Wanted.ENDPOINT_SYNC: look_at_sync,
    Wanted.ENDPOINT_ASYNC: look_at_async,
    Wanted.GENERATION: look_at_generation,
}


def prove(gate: Gate, proof: Proof) -> Verdict:
    """Look at what the mode needs, one thing after the other; the first that is not proved is the verdict."""
    mode = proof["properties"]["Mode"]
    if not proof.get("allowed") and (refusal := _refused_switch(gate, proof)):
        return Verdict(FAILED, refusal)
    proved, reasons = list(proof.get("proved", [])), []
    for wanted in wanted_of(mode, gate.fallback):
        if wanted in proved:
            continue
        verdict = LOOKS[wanted](gate, proof)
        if verdict.state != PROVED:
            return _believed(proof, verdict, {"allowed": True, "proved": proved})
        proved.append(wanted.value)
        reasons.append(verdict.reason)
    return Verdict(PROVED, "; ".join(reasons) or f"mode {mode} needs no proof", {"proved": proved})


def _refused_switch(gate: Gate, proof: Proof) -> str | None:
    """Return why the switch takes answers away although nobody said that this is meant."""
    before, after = proof["old_mode"], proof["properties"]["Mode"]
    acknowledged = proof["properties"]["LostAnswersAcknowledged"] == "true"
    if not before or acknowledged:
        return None
    if takes_the_model_away(before, after):
        return refuse_loss(gate.model, before, after, gate.traffic.counts(gate.clock()), acknowledged=False)
    return refuse_silence(gate.model, before, after, acknowledged=False)


def _believed(proof: Proof, verdict: Verdict, keep: dict[str, Any]) -> Verdict:
    keep = {**keep, **verdict.keep}
    if not verdict.doubtful:
        return Verdict(verdict.state, verdict.reason, {**keep, "suspicions": 0})
    suspicions = proof.get("suspicions", 0) + 1
    state = FAILED if suspicions >= BELIEVED_AFTER else PROVING
    return Verdict(state, verdict.reason, {**keep, "suspicions": suspicions})


def _in_service(gate: Gate, proof: Proof) -> Verdict | None:
    """Return None when the endpoint is in service with the expected configuration, else what is to be said."""
    name, config = proof["properties"]["Endpoint"], proof["properties"]["EndpointConfig"]
    state = gate.endpoints.state(name)
    if state is None:
        return Verdict(
            FAILED,
            f"endpoint {name} does not exist: it was deleted outside of CloudFormation. To have it again: "
            f"aws sagemaker create-endpoint --endpoint-name {name} --endpoint-config-name {config}",
            doubtful=True,
        )
    return STATUSES.get(state.status, _unknown_status)(name, config, state)


def _large_enough(gate: Gate, proof: Proof) -> Verdict | None:
    """Return None when the endpoint has as many instances as the one of its family that it replaces has come to.

    It is created with the fewest, and would meet the requests of a fleet that load has made larger.
    """
    name, old = proof["properties"]["Endpoint"], proof["old_endpoint"]
    if not gate.most_instances or not old or old == name or not are_kin(old, name):
        return None
    replaced, state = gate.endpoints.state(old), gate.endpoints.state(name)
    wanted = min(replaced.instances if replaced else 0, gate.most_instances)
    if state is None or state.instances >= wanted:
        return None
    if proof.get("grown_to") == wanted:
        why = state.reason or "SageMaker gave no reason"
        return Verdict(
            FAILED, f"endpoint {name} did not come to {wanted} instances, as many as {old} has: {why}", doubtful=True
        )
    try:
        gate.endpoints.grow(name, wanted)
    except NotReady as error:
        return Verdict(PROVING, f"endpoint {name} cannot grow yet: {error}")
    reason = f"endpoint {name} grows to {wanted} instances, as many as {old} has"
    return Verdict(PROVING, reason, {"grown_to": wanted})


def _is_in_service(name: str, config: str, state: EndpointState) -> Verdict | None:
    if state.config == config:
        return None
    return Verdict(
        FAILED,
        f"endpoint {name} is in service with configuration {state.config} instead of {config}: SageMaker rolled the "
        f"update back ({state.reason or 'it gave no reason'}). {_read_log(name)}",
        doubtful=True,
    )


def _is_changing(name: str, config: str, state: EndpointState) -> Verdict:
    return Verdict(PROVING, f"endpoint {name} is {state.status}")


def _is_broken(name: str, config: str, state: EndpointState) -> Verdict:
    reason = state.reason or "SageMaker gave no reason"
    return Verdict(FAILED, f"endpoint {name} is {state.status}: {reason}. {_read_log(name)}")


def _unknown_status(name: str, config: str, state: EndpointState) -> Verdict:
    return Verdict(FAILED, f"endpoint {name} is in a state that Turnout does not know: {state.status}")


#: Status of an endpoint -> what it means; None: go on.
STATUSES: dict[str, Callable[[str, str, EndpointState], Verdict | None]] = {
    "InService": _is_in_service,
    "Creating": _is_changing,
    "Updating": _is_changing,
    "SystemUpdating": _is_changing,
    "RollingBack": _is_changing,
    "Failed": _is_broken,
    "OutOfService": _is_broken,
    "Deleting": _is_broken,
    "UpdateRollbackFailed": _is_broken,
}


def _answered_now(gate: Gate, proof: Proof) -> Verdict:
    name = proof["properties"]["Endpoint"]
    samples = _samples(gate, name)
    if isinstance(samples, Verdict):
        return samples
    try:
        answer = gate.endpoints.invoke(name, samples.body(), content_type(gate.card()))
    except NotReady as error:
        return Verdict(PROVING, f"endpoint {name} does not answer yet: {error}")
    except ModelAnswered as error:
        return _refused(name, str(error))
    return _compared(name, samples, answer)


def _answered_later(gate: Gate, proof: Proof) -> Verdict:
    name = proof["properties"]["Endpoint"]
    samples = _samples(gate, name)
    if isinstance(samples, Verdict):
        return samples
    if "asked" not in proof:
        file_name = execution_name(proof["request_id"])[:32].rstrip("-")
        try:
            asked = gate.endpoints.invoke_later(name, samples.body(), content_type(gate.card()), file_name)
        except NotReady as error:
            return Verdict(PROVING, f"endpoint {name} does not take requests yet: {error}")
        return Verdict(PROVING, f"the samples wait in the queue of endpoint {name}", {"asked": asked})
    return _from_s3(gate, name, samples, proof["asked"])


def _from_s3(gate: Gate, name: str, samples: Samples, asked: Asked) -> Verdict:
    answer = _object(gate.objects, asked["output"])
    if answer is not None:
        return _compared(name, samples, answer)
    failure = _object(gate.objects, asked["failure"]) if asked["failure"] else None
    if failure is not None:
        return _refused(name, failure.decode(errors="replace")[:1_000])
    return Verdict(
        PROVING,
        f"endpoint {name} has not answered the samples yet (one that was scaled to zero needs some minutes to start)",
    )


def _object(objects: Objects, uri: str) -> bytes | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return objects.get(bucket, key)
    except ObjectMissing:
        return None


def _samples(gate: Gate, name: str) -> Samples | Verdict:
    try:
        samples = gate.samples()
    except UnusableSamples as error:
        return Verdict(FAILED, f"the model's sample_payloads.json cannot be used: {error}. Train the model again")
    if samples is None:
        return Verdict(
            PROVED, f"endpoint {name} is in service; the model has no sample_payloads.json, so it was not asked"
        )
    return samples


def _compared(name: str, samples: Samples, answer: bytes) -> Verdict:
    try:
        difference = samples.difference(answer)
    except ValueError as error:
        return Verdict(
            FAILED, f"endpoint {name} answers {len(samples.rows)} samples in a form that nobody can read: {error}"
        )
    if difference:
        return Verdict(
            FAILED,
            f"endpoint {name} does not predict what training predicted: {difference}. Train again so that artifact "
            "and sample_payloads.json belong together",
        )
    return Verdict(PROVED, f"endpoint {name} answers {len(samples.rows)} samples as training did, to the last bit")


def _refused(name: str, answer: str) -> Verdict:
    text = f"endpoint {name} does not answer the model's own samples: {answer.rstrip('.')}. {_read_log(name)}"
    return Verdict(FAILED, text, doubtful=True)


def _read_log(name: str) -> str:
    return f"Its log is /aws/sagemaker/Endpoints/{name}"


def _visible(gate: Gate) -> Generation | None:
    shown = gate.records.pointer().scores
    return gate.records.generation(shown) if shown else None


def _why_not(visible: Generation | None, version: str, age: int, fresh_seconds: int) -> str:
    if visible is None:
        return "no generation of scores is visible"
    if visible.model_version != version:
        return f"generation {visible.id} is of model version {visible.model_version}"
    return f"generation {visible.id} is {age} s old, more than {fresh_seconds} s"


def _all_refused(visible: Generation, age: int, fresh_seconds: int) -> str:
    return (
        f"generation {visible.id} was made of data that are {age} s old already, more than {fresh_seconds} s: "
        "on_stale: refuse would refuse every lookup. Deliver newer data, raise max_staleness, or use on_stale: serve"
    )


def _run(gate: Gate, execution: str, run_id: str, visible: Generation | None) -> Verdict:
    run = gate.records.run(run_id)
    if run is not None and run.status in RUNS:
        return RUNS[run.status](gate, run, visible)
    ended = gate.executions.state(execution)
    if ended.status in ("RUNNING", "PENDING_REDRIVE"):
        return Verdict(PROVING, f"run {run_id} has not begun yet")
    return Verdict(FAILED, f"run {run_id} ended {ended.status} before it began: {readable(ended.cause)}. {_LOOK}")


def _running(gate: Gate, run: Run, visible: Generation | None) -> Verdict:
    ended = gate.executions.state(run.execution)
    seconds = int((gate.clock() - parse_moment(run.started_at)).total_seconds())
    if ended.status in ("RUNNING", "SUCCEEDED"):
        return Verdict(PROVING, f"run {run.id} makes a generation, since {seconds} s")
    return Verdict(FAILED, f"run {run.id} ended {ended.status}: {readable(ended.cause)}. {_LOOK}")


def _succeeded(gate: Gate, run: Run, visible: Generation | None) -> Verdict:
    if visible is not None and visible.id == run.id:
        return Verdict(PROVED, f"generation {run.id} was made and is visible")
    shown = f"generation {visible.id} of model version {visible.model_version}" if visible else "none"
    return Verdict(
        FAILED,
        f"run {run.id} succeeded, and yet {shown} is visible: a rollback or another run came between. Deploy again",
    )


def _failed(gate: Gate, run: Run, visible: Generation | None) -> Verdict:
    return Verdict(FAILED, f"run {run.id} failed: {run.error}: {(run.cause or 'no cause').rstrip('.')}. {_LOOK}")


#: Status of a run in the ledger -> what it means for the gate.
RUNS: dict[str, Callable[[Gate, Run, Generation | None], Verdict]] = {
    "running": _running,
    "succeeded": _succeeded,
    "failed": _failed,
}

_LOOK = "`turnout runs` lists it; mend its cause"


def readable(cause: str) -> str:
    """Return the sentence inside a cause; Lambda's is a JSON document around it."""
    try:
        document = json.loads(cause)
    except ValueError:
        return cause or "no cause was given"
    message = document.get("errorMessage") if isinstance(document, dict) else None
    return str(message or cause)
