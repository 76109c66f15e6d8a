"""Errors that a caller or an operator sees, each with a stable code.

TurnoutError
├── RequestError                the front door answers it as JSON with `http_status`
│   ├── BadBody                 400 bad_body
│   ├── BadKey                  400 bad_key
│   ├── UnknownModel            404 unknown_model
│   ├── UnknownKey              404 unknown_key
│   ├── UnknownRoute            404 unknown_route
│   ├── UnknownRequest          404 unknown_request      no asynchronous request of that id
│   ├── NotServableLive         409 not_servable_live
│   ├── NotScoredYet            409 not_scored_yet
│   ├── RequestExpired          410 request_expired      an asynchronous request waited longer than allowed
│   ├── TooManyInstances        413 too_many_instances
│   ├── PayloadTooLarge         413 payload_too_large
│   ├── FeaturesNeeded          422 features_needed      this mode needs features; says which
│   ├── BadFeatures             422 bad_features         features do not fit the schema; says each
│   ├── ModelRefused            422 model_refused        the container answered 4xx
│   ├── Throttled               429 throttled            the endpoint is at its concurrency; Retry-After
│   ├── LiveLimitReached        429 live_limit_reached   the model's own cap on live calls; Retry-After
│   ├── ModelFailed             502 model_failed         the container answered 5xx
│   ├── EndpointUnavailable     503 endpoint_unavailable the endpoint is not there or not in service; Retry-After
│   ├── StoreUnavailable        503 store_unavailable
│   ├── StaleScores             503 stale_scores         the score is too old, and the model refuses such; Retry-After
│   └── ModelTimeout            504 model_timeout        no answer in the time an HTTP API leaves
└── RunError                    a pipeline run stops; Step Functions sees the class name
    ├── BadTrigger              what started the execution is not a trigger
    ├── EmptyInput              no object or no row under the input location
    ├── MissingColumns          the input lacks columns of the schema
    ├── WrongColumnType         a column cannot hold the schema's type
    ├── NoDataTime              no row says of when it is, in the column that should
    ├── UnreadableInput         a file is not what its format says
    ├── TooManyBadRows          more rows quarantined than the threshold allows
    ├── TooManyRows             more rows than one run carries
    ├── IncompleteOutput        Batch Transform left fewer results than rows sent
    ├── VerificationFailed      counts do not add up; the generation stays invisible
    └── QualityFailed           predictions are not what the model's settings ask for; the generation stays invisible
"""


class TurnoutError(Exception):
    """Base of everything Turnout's handlers raise on purpose."""

    code = "turnout_error"

    def __init__(self, message: str, **details) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class RequestError(TurnoutError):
    """Base of errors answered to a caller of the front door."""

    http_status = 500
    code = "internal_error"

    def to_body(self) -> dict:
        """Return the JSON body: `{"error": {"code", "message", ...details}}`."""
        return {"error": {"code": self.code, "message": self.message, **self.details}}


class BadBody(RequestError):
    http_status, code = 400, "bad_body"


class BadKey(RequestError):
    http_status, code = 400, "bad_key"


class UnknownModel(RequestError):
    http_status, code = 404, "unknown_model"


class UnknownKey(RequestError):
    http_status, code = 404, "unknown_key"


class UnknownRoute(RequestError):
    http_status, code = 404, "unknown_route"


class UnknownRequest(RequestError):
    http_status, code = 404, "unknown_request"


class RequestExpired(RequestError):
    http_status, code = 410, "request_expired"


class PayloadTooLarge(RequestError):
    http_status, code = 413, "payload_too_large"


class FeaturesNeeded(RequestError):
    http_status, code = 422, "features_needed"


class BadFeatures(RequestError):
    http_status, code = 422, "bad_features"


class ModelRefused(RequestError):
    http_status, code = 422, "model_refused"


class Throttled(RequestError):
    http_status, code = 429, "throttled"


class LiveLimitReached(RequestError):
    http_status, code = 429, "live_limit_reached"


class ModelFailed(RequestError):
    http_status, code = 502, "model_failed"


class EndpointUnavailable(RequestError):
    http_status, code = 503, "endpoint_unavailable"


class ModelTimeout(RequestError):
    http_status, code = 504, "model_timeout"


class NotServableLive(RequestError):
    http_status, code = 409, "not_servable_live"


class NotScoredYet(RequestError):
    http_status, code = 409, "not_scored_yet"


class TooManyInstances(RequestError):
    http_status, code = 413, "too_many_instances"


class StoreUnavailable(RequestError):
    http_status, code = 503, "store_unavailable"


class StaleScores(RequestError):
    http_status, code = 503, "stale_scores"


class RunError(TurnoutError):
    """Base of errors that stop a pipeline run; repeating the step would not help."""

    code = "run_error"


class BadTrigger(RunError):
    code = "bad_trigger"


class EmptyInput(RunError):
    code = "empty_input"


class MissingColumns(RunError):
    code = "missing_columns"


class WrongColumnType(RunError):
    code = "wrong_column_type"


class NoDataTime(RunError):
    code = "no_data_time"


class UnreadableInput(RunError):
    code = "unreadable_input"


class TooManyBadRows(RunError):
    code = "too_many_bad_rows"


class TooManyRows(RunError):
    code = "too_many_rows"


class IncompleteOutput(RunError):
    code = "incomplete_output"


class VerificationFailed(RunError):
    code = "verification_failed"


class QualityFailed(RunError):
    code = "quality_failed"


#: Names as Step Functions sees them in `ErrorEquals`: retrying these is pointless.
PERMANENT_RUN_ERRORS = tuple(sorted(cls.__name__ for cls in RunError.__subclasses__()))
