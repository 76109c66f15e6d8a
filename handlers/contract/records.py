"""Records in a model's table: attribute names and conversions, next to each other.

    pk                          sk          what
    POINTER                     -           which generation is served, which came before
    RUN                         <run id>    the ledger: one item per run, claimed before anything else happens
    GENERATION                  <run id>    manifest of a complete, verified generation, or of a refused one
    <generation>#<key>          -           one score, where it is an item of its own
    <generation>#<part>.<n>     bucket      many scores, packed (handlers.logic.buckets)
    OVERLAY#<key>               -           one key scored by event since the data of the visible generation
    LIVE#<key>                  -           a live answer that is remembered for a while (hybrid)
    FLIGHT#<key>                -           who is asking the model for this key right now (hybrid): a short lease
    MINUTE#<yyyymmddThhmm>      -           live calls in that minute (hybrid)
    MINUTE#<yyyymmddThhmm>#refresh   -      keys scored by event in that minute
    REQUEST                     <id>        an asynchronous request: where its answer will be. Ids begin with a time,
                                            so that one query lists those that may still wait (the drain asks for them)

Items carry `expires_at` (epoch seconds, DynamoDB TTL). TTL deletes late, so readers check it themselves.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Self

PK, SK, EXPIRES_AT = "pk", "sk", "expires_at"
NO_SORT = "-"
BUCKET = "bucket"
POINTER = "POINTER"
RUN = "RUN"
GENERATION = "GENERATION"

REQUEST = "REQUEST"

LIVE, FLIGHT, MINUTE, OVERLAY = "LIVE#", "FLIGHT#", "MINUTE#", "OVERLAY#"

Item = dict[str, Any]  # plain Python values; adapters turn them into DynamoDB's typed form


@dataclass(frozen=True)
class Pointer:
    """What is visible now. `results` is the newest complete batch output in S3; `scores` is what lookups read.

    `revision` grows by one with each change, so that writers can insist on the pointer that they read. `held` is a
    generation that somebody has gone back to: as long as it is the visible one, age starts no runs.
    """

    results: str | None = None
    scores: str | None = None
    previous_scores: str | None = None
    revision: int = 0
    held: str | None = None

    def to_item(self) -> Item:
        item: Item = {PK: POINTER, SK: NO_SORT, "revision": self.revision}
        for name in ("results", "scores", "previous_scores", "held"):
            if (value := getattr(self, name)) is not None:
                item[name] = value
        return item

    @classmethod
    def from_item(cls, item: Item) -> Self:
        shown = (item.get("results"), item.get("scores"), item.get("previous_scores"))
        return cls(*shown, int(item["revision"]), item.get("held"))


@dataclass(frozen=True)
class Generation:
    """Manifest of one complete run. Counts are rows; `scored_at` and `published_at` are ISO 8601 in UTC."""

    id: str
    model_version: str
    scored_at: str
    published_at: str
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    rows_published: int  # 0 when the mode keeps no scores in the table
    key_type: str  # "string" or "integer"
    results_uri: str
    quarantine_uri: str | None
    expires_at: int
    #: Buckets in each partition of the keys; None in generations of before there were buckets, and without scores.
    buckets: list[int] | None = None
    #: The moment of the data that were scored, ISO 8601 in UTC: ages count from it. None before it was recorded.
    data_as_of: str | None = None
    #: What the predictions look like (handlers.logic.profiles), and why the generation was not made visible.
    profile: dict[str, Any] | None = None
    #: What it was beside the generation that was visible before it (handlers.logic.quality).
    compared: dict[str, Any] | None = None
    refused: str | None = None
    #: It was refused because its counts do not add up: nobody can accept it.
    miscounted: bool = False
    #: Scores that are items of their own; None in generations of before it was counted.
    singles: int | None = None
    #: When the deletion of its items began, ISO 8601 in UTC: nothing may point here any more.
    deleting: str | None = None

    @property
    def as_of(self) -> str:
        """The moment from which the age of its predictions counts: the data's own time, else when they were scored."""
        return self.data_as_of or self.scored_at

    def to_item(self) -> Item:
        item: Item = {PK: GENERATION, SK: self.id}
        plain = {k: v for k, v in self.__dict__.items() if k not in ("id", *_GENERATION_JSON)}
        item.update({k: v for k, v in plain.items() if v is not None and v is not False})
        kept = {name: value for name in _GENERATION_JSON if (value := getattr(self, name)) is not None}
        return item | {name: json.dumps(value) for name, value in kept.items()}

    @classmethod
    def from_item(cls, item: Item) -> Self:
        ints = ("rows_in", "rows_scored", "rows_quarantined", "rows_published", "expires_at")
        values = {k: item.get(k) for k in cls.__dataclass_fields__ if k != "id"}
        values.update({k: int(values[k]) for k in ints})
        values.update({name: json.loads(item[name]) for name in _GENERATION_JSON if name in item})
        values["miscounted"] = item.get("miscounted", False)
        values["singles"] = int(item["singles"]) if "singles" in item else None
        return cls(id=item[SK], **values)


#: Members of a generation that are stored as JSON text.
_GENERATION_JSON = ("buckets", "profile", "compared")


@dataclass(frozen=True)
class Run:
    """One entry of the run ledger. `status` is running, succeeded or failed."""

    id: str
    execution: str  # ARN of the Step Functions execution that claimed the slot
    trigger: str  # schedule, manual, new_data, gate or age
    slot: str
    status: str
    started_at: str
    expires_at: int
    ended_at: str | None = None
    error: str | None = None
    cause: str | None = None
    report: dict[str, Any] | None = None
    #: When the deletion of its scores began, ISO 8601 in UTC: nothing of it becomes visible, redriven or not.
    deleting: str | None = None

    def to_item(self) -> Item:
        item: Item = {PK: RUN, SK: self.id}
        item.update({k: v for k, v in self.__dict__.items() if k not in ("id", "report") and v is not None})
        if self.report is not None:
            item["report"] = json.dumps(self.report, sort_keys=True)
        return item

    @classmethod
    def from_item(cls, item: Item) -> Self:
        values = {k: item.get(k) for k in cls.__dataclass_fields__ if k not in ("id", "report")}
        values["expires_at"] = int(values["expires_at"])
        return cls(id=item[SK], report=json.loads(item["report"]) if "report" in item else None, **values)


#: Members of a request that are stored as JSON text.
_REQUEST_JSON = ("keys", "known", "shared")


@dataclass(frozen=True)
class Request:
    """An asynchronous request. `keys` are those of its instances, in order, None where one had none.

    `id` is of `handlers.contract.layout.request_id`. Moments are ISO 8601 in UTC.
    """

    id: str
    created_at: str
    mode: str
    model_version: str
    keys: list[str | int | None]
    several: bool
    output_uri: str
    failure_uri: str
    waits_until: str  # after this moment SageMaker has dropped it, or the model has had its time
    expires_at: int
    known: dict[str, Any] = field(default_factory=dict)  # place -> body of instances that the model was not asked for
    shared: dict[str, int] = field(default_factory=dict)  # place -> place of the same key, whose answer it gets
    upload: bool = False  # the payload was uploaded: how many instances it holds, only the answer says
    endpoint: str = ""  # who was asked: it must stay until it has answered
    wire_format: str = ""  # how the model was asked and will answer; empty in records of before it was kept

    def to_item(self) -> Item:
        item: Item = {PK: REQUEST, SK: self.id}
        item.update({k: v for k, v in self.__dict__.items() if k not in ("id", *_REQUEST_JSON)})
        item.update({name: json.dumps(getattr(self, name)) for name in _REQUEST_JSON})
        return item

    @classmethod
    def from_item(cls, item: Item) -> Self:
        item = {"wire_format": "", **item}
        values = {k: item[k] for k in cls.__dataclass_fields__ if k not in ("id", *_REQUEST_JSON)}
        values["expires_at"] = int(values["expires_at"])
        return cls(id=item[SK], **{name: json.loads(item[name]) for name in _REQUEST_JSON}, **values)


@dataclass(frozen=True)
class Remembered:
    """A live answer for one key. `scored_at` is ISO 8601 in UTC."""

    prediction: Any
    model_version: str
    scored_at: str
    expires_at: int

    def to_item(self, key: str) -> Item:
        values = {**self.__dict__, "prediction": json.dumps(self.prediction, allow_nan=False)}
        return {PK: f"{LIVE}{key}", SK: NO_SORT, **values}

    @classmethod
    def from_item(cls, item: Item) -> Self:
        return cls(json.loads(item["prediction"]), item["model_version"], item["scored_at"], int(item[EXPIRES_AT]))


@dataclass(frozen=True)
class Refreshed:
    """One key scored by event. Both moments are ISO 8601 in UTC.

    `data_as_of`, the time of the event's features, has milliseconds always, so that the order of the texts is that of
    the moments. Among equal ones the event that arrived last (milliseconds since the epoch) is the newest.
    """

    prediction: Any
    model_version: str
    data_as_of: str
    scored_at: str
    expires_at: int
    event: str
    arrived: int

    def to_item(self, key: str) -> Item:
        values = {**self.__dict__, "prediction": json.dumps(self.prediction, allow_nan=False)}
        return {PK: f"{OVERLAY}{key}", SK: NO_SORT, **values}

    @classmethod
    def from_item(cls, item: Item) -> Self:
        values = {k: item[k] for k in ("model_version", "data_as_of", "scored_at", "event")}
        values.update({k: int(item[k]) for k in (EXPIRES_AT, "arrived")})
        return cls(prediction=json.loads(item["prediction"]), **values)


@dataclass(frozen=True)
class Flight:
    """Who asks the model for one key right now. Whoever writes it first leads; the others wait for what comes of it.

    `leader` is unguessable; in deferred answers it is the request's id. `failure` is the JSON body of an error.
    """

    leader: str
    lease_until: int  # milliseconds since the epoch
    failure: str | None = None

    def to_item(self, key: str) -> Item:
        item: Item = {PK: f"{FLIGHT}{key}", SK: NO_SORT, "leader": self.leader, "lease_until": self.lease_until}
        item[EXPIRES_AT] = self.lease_until // 1000 + 3600
        return item if self.failure is None else {**item, "failure": self.failure}

    @classmethod
    def from_item(cls, item: Item) -> Self:
        return cls(item["leader"], int(item["lease_until"]), item.get("failure"))
