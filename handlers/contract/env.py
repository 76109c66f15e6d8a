"""Each handler's environment, written by a construct with `to_environ` and read by the handler with `from_environ`.

Values are strings on the way in and out; nothing is validated on the way out, because at synth a value
may be a CloudFormation token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self, get_type_hints


class MissingEnvironment(RuntimeError):
    """A handler was started without a variable that its construct should have set."""


@dataclass(frozen=True)
class Environment:
    """Base: every field is one variable `TURNOUT_<FIELD>`; `str`, `int`, `float` and `bool` are known."""

    def to_environ(self) -> dict[str, str]:
        out = {}
        for field in fields(self):
            value = getattr(self, field.name)
            out[f"TURNOUT_{field.name.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
        return out

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the typed environment. Raises MissingEnvironment, naming every variable that is missing."""
        missing = [f"TURNOUT_{f.name.upper()}" for f in fields(cls) if f"TURNOUT_{f.name.upper()}" not in environ]
        if missing:
            raise MissingEnvironment(f"{cls.__name__}: not set: {', '.join(missing)}")
        hints = get_type_hints(cls)
        values = {}
        for field in fields(cls):
            text = environ[f"TURNOUT_{field.name.upper()}"]
            kind = hints[field.name]
            values[field.name] = text == "true" if kind is bool else kind(text)
        return cls(**values)


@dataclass(frozen=True)
class PredictEnv(Environment):
    """The front door's environment (`handlers.predict`)."""

    stage: str
    model: str
    mode: str
    model_version: str
    table: str
    max_staleness_seconds: int
    results_uri: str  # s3://bucket/results/<model>/
    spec_bucket: str  # the model's card as JSON (handlers.contract.card), read by GET /models/{model} only
    spec_key: str
    data_bucket: str  # asynchronous inputs and outputs lie under async/<model>/
    endpoint: str  # name of the endpoint that answers live; empty where none does
    fallback: str  # hybrid only: realtime, serverless or async; else empty
    remember_seconds: int  # how long a live answer is kept (hybrid)
    max_live_per_minute: int  # cap on live calls (hybrid)
    async_expiry_seconds: int  # how long an asynchronous request may wait
    async_invocation_seconds: int = 900  # how long the model may then take for it
    on_stale: str = "serve"  # serve, live (hybrid) or refuse: lookups whose score is older than max_staleness_seconds
    overlaid: bool = False  # whether single keys are refreshed by event, so that lookups read the overlay too


@dataclass(frozen=True)
class PipelineEnv(Environment):
    """What every pipeline handler knows (`handlers.start`, `prepare`, `publish`, `conclude`)."""

    stage: str
    model: str
    mode: str
    table: str
    data_bucket: str
    spec_bucket: str
    spec_key: str


@dataclass(frozen=True)
class RefreshEnv(Environment):
    """Scoring single keys by event (`handlers.refresh`)."""

    stage: str
    model: str
    model_version: str
    table: str
    spec_bucket: str
    spec_key: str
    endpoint: str
    fallback: str  # the endpoint's family: realtime or serverless
    queue_url: str  # events that wait
    letters_url: str  # events that can never be scored, each with its reason
    min_interval_seconds: int
    max_per_minute: int


@dataclass(frozen=True)
class FreshnessEnv(Environment):
    """What looks at the age of a model's data (`handlers.freshness`)."""

    stage: str
    model: str
    mode: str
    table: str
    pipeline: str  # ARN of the state machine
    when_older_than_seconds: int  # age from which a run is started; 0: never


@dataclass(frozen=True)
class GateEnv(Environment):
    """The gate's handlers (`handlers.gate`, `prove`, `answer`): proof that a mode works before clients meet it."""

    stage: str
    model: str
    mode: str
    model_version: str
    table: str
    spec_bucket: str
    spec_key: str
    samples_bucket: str  # sample payloads with expected predictions, as training wrote them; empty: none were kept
    samples_key: str
    endpoint: str  # empty where the mode has none
    endpoint_config: str  # the configuration that must be in force once the endpoint is in service
    most_instances: int  # upper bound of its instances; 0 where they are not counted
    fallback: str  # hybrid only
    pipeline: str  # ARN of the state machine that makes generations; empty where the mode has none
    gate_machine: str  # ARN of the gate's own state machine (handlers.gate starts it); empty for its steps
    data_bucket: str


@dataclass(frozen=True)
class UnknownModelEnv(Environment):
    """The platform's answer for routes that no model claims (`handlers.unknown_model`)."""

    stage: str
