"""Events of the gate: the custom resource that lets a deployment go on only when the new mode has proved itself.

    CloudFormation -> handlers.gate       keeps the response URL in the gate's state machine and returns at once
    gate machine: Prove (handlers.prove) -> done? answer (handlers.answer) : wait and prove again, until `deadline`
    The drain is the same machine with nothing to prove: it waits until the old mode's requests are answered.

Prove takes a Proof and returns it with `state` and `reason`; it fails by itself once `deadline` has passed. Answer
takes a Proof too. A step that failed in another way is caught into `$.failure`, and Answer says so to CloudFormation.
"""

from typing import NotRequired, TypedDict


class GateProperties(TypedDict):
    """ResourceProperties that the construct writes; any change of them makes CloudFormation ask again.

    Numbers arrive as strings, as CloudFormation sends them.
    """

    ServiceToken: str
    Kind: str  # prove or drain
    Mode: str
    ModelVersion: str
    Endpoint: str
    EndpointConfig: str
    FreshSeconds: str  # prove: a visible generation of this model version and age is enough; "0": none is wanted
    BoundSeconds: str  # give up after this long
    LostAnswersAcknowledged: NotRequired[str]  # prove: "true" or "false"; see handlers.contract.answering
    DrainSeconds: NotRequired[str]  # drain: wait at least this long after the move
    RefusesStale: NotRequired[str]  # prove: "true" where lookups refuse old scores, so that the data's own age counts
    Release: NotRequired[str]  # drain: the front door's release, so that each one is drained


class Failure(TypedDict):
    """What Step Functions catches."""

    Error: str
    Cause: str


class Asked(TypedDict):
    """Samples on their way through an asynchronous endpoint, and where their answer will lie (s3://...)."""

    output: str
    failure: str


class Proof(TypedDict):
    """What goes through the gate's machine."""

    kind: str
    request_type: str  # Create, Update, Delete
    response_url: str
    stack_id: str
    request_id: str
    logical_id: str
    physical_id: str
    properties: GateProperties
    old_mode: str  # empty on Create
    old_endpoint: str  # empty on Create and where the old mode had none
    old_config: str  # that endpoint's configuration
    deadline: str  # ISO 8601 UTC
    started_at: str
    withdrawn: NotRequired[bool]  # since the last proof nothing but the word under `acknowledge` has gone
    allowed: NotRequired[bool]  # nothing is lost by the switch, or somebody meant it
    proved: NotRequired[list[str]]  # what needs no second look
    suspicions: NotRequired[int]  # faults seen one after the other that another look may clear
    grown_to: NotRequired[int]  # instances that the gate has asked the endpoint to have
    asked: NotRequired[Asked]
    execution: NotRequired[str]  # the pipeline run that the gate started
    state: NotRequired[str]  # proving, proved, failed
    reason: NotRequired[str]  # one sentence, also while proving: what is being waited for
    failure: NotRequired[Failure]  # put there by the machine's Catch
