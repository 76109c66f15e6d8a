"""One look at what the gate waits for; the gate's machine repeats it until there is a verdict."""

import json
import os
from functools import cache

from handlers.adapters.card_store import load_card
from handlers.adapters.clients import client
from handlers.adapters.endpoints import ONCE, SageMakerEndpoints
from handlers.adapters.executions import StateMachineExecutions
from handlers.adapters.front_door_counts import FrontDoorCounts
from handlers.adapters.records_table import RecordsTable
from handlers.adapters.requests_table import RequestsTable
from handlers.adapters.s3_objects import S3Objects
from handlers.contract.card import ModelCard
from handlers.contract.env import GateEnv
from handlers.contract.gating import Proof
from handlers.logic.draining import Drain, drain
from handlers.logic.gating import Look, looked
from handlers.logic.moments import utc_now
from handlers.logic.proofs import Gate, prove
from handlers.logic.samples import Samples, read_samples


@cache
def environment() -> GateEnv:
    return GateEnv.from_environ(os.environ)


@cache
def card() -> ModelCard:
    env = environment()
    return load_card(S3Objects(client("s3")), env.spec_bucket, env.spec_key)


@cache
def samples() -> Samples | None:
    """Return the model's samples; None when it has none. Raises UnusableSamples."""
    env = environment()
    if not env.samples_key:
        return None
    return read_samples(S3Objects(client("s3")).get(env.samples_bucket, env.samples_key), card())


@cache
def looks() -> dict[str, Look]:
    """Return kind of proof -> how to look at it."""
    env = environment()
    objects = S3Objects(client("s3"))
    gate = Gate(
        model=env.model,
        fallback=env.fallback,
        pipeline=env.pipeline,
        most_instances=env.most_instances,
        card=card,
        samples=samples,
        endpoints=SageMakerEndpoints(client("sagemaker"), client("sagemaker-runtime", ONCE)),
        executions=StateMachineExecutions(client("stepfunctions")),
        records=RecordsTable(client("dynamodb"), env.table),
        objects=objects,
        traffic=FrontDoorCounts(client("cloudwatch"), stage=env.stage, model=env.model),
        clock=utc_now,
    )
    leaving = Drain(env.model, env.data_bucket, RequestsTable(client("dynamodb"), env.table), objects, utc_now)
    return {"prove": lambda proof: prove(gate, proof), "drain": lambda proof: drain(leaving, proof)}


def handler(event: Proof, context: object) -> Proof:
    """Return the proof with `state` and `reason`. What it raises, the machine hands to `handlers.answer`."""
    seen = looked(event, looks(), utc_now)
    print(json.dumps({name: seen[name] for name in ("kind", "request_id", "state", "reason")}), flush=True)
    return seen
