"""The client contract: routes, request bodies and answers, the same in every mode.

    POST /models/{model}/predictions          {"key": K, "features": {...}}  or  {"instances": [{...}, ...]}
    GET  /models/{model}/predictions/{key}
    GET  /models/{model}
    GET  /models/{model}/predictions?request=ID        pending (202), the answer (200), or why there is none
    POST /models/{model}/uploads                       where to PUT a large payload; then POST {"upload": ID}

Any POST may be answered 202 with a `Location` header by modes that answer later; a client that
follows `Location` with GET until the status is not 202 works in every mode, also in those to come.
"""

from dataclasses import dataclass
from typing import Any

from handlers.contract.payloads import MAX_UPLOAD_BYTES as MAX_UPLOAD_BYTES

ROUTE_PREDICT = "POST /models/{model}/predictions"
ROUTE_LOOKUP = "GET /models/{model}/predictions/{key+}"
ROUTE_DESCRIBE = "GET /models/{model}"
#: Polls an asynchronous request, `?request=<id>`: never a path, so that an id cannot be taken for a key.
ROUTE_POLL = "GET /models/{model}/predictions"
#: Hands out a presigned upload for a payload too large for a request body.
ROUTE_UPLOAD = "POST /models/{model}/uploads"
REQUEST_PARAMETER = "request"

#: The words of `Prediction.source`.
PRECOMPUTED, REFRESHED, LIVE, REMEMBERED, DEFERRED = "precomputed", "refreshed", "live", "remembered", "async"

#: Instances that one request may carry.
MAX_INSTANCES = 100
#: Bytes of a key in UTF-8. DynamoDB allows 2,048 for a partition key; the generation's name needs its part.
MAX_KEY_BYTES = 1536

#: Bytes of an answer, as the text that Lambda carries.
MAX_BODY_BYTES = 6 * 2**20
#: Bytes of a request's body. Lambda carries 6 MB of event, in which a body is text once more, its quotes and line ends
#: doubled, and refuses more before any code of ours could say why: we refuse earlier.
MAX_REQUEST_BYTES = 5 * 2**20

Key = str | int


@dataclass(frozen=True)
class Instance:
    """One thing to predict for: a key, features, or both."""

    key: Key | None = None
    features: dict[str, Any] | None = None


@dataclass(frozen=True)
class Prediction:
    """One answer. Moments are ISO 8601 in UTC; `age_seconds` counts from `data_as_of` to the moment of the answer.

    `data_as_of` is the time of the data behind the prediction; a model that was asked answers about the moment it was.
    """

    model: str
    mode: str
    key: Key | None
    prediction: Any
    source: str
    model_version: str
    generation: str | None
    scored_at: str
    data_as_of: str
    age_seconds: int
    stale: bool

    def to_body(self) -> dict:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Accepted:
    """An answer that comes later: the body of a 202. Its place is in the `Location` header, and in the body."""

    request: str
    location: str
    retry_after_seconds: int
    status: str = "pending"

    def to_body(self) -> dict:
        return dict(self.__dict__)
