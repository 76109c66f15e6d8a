"""Errors that a caller or an operator sees, each with a stable code.

TurnoutError
├── RequestError                the front door answers it as JSON with `http_status`
│   ├── BadBody                 400 bad_body
│   ├── BadKey                  400 bad_key
│   ├── UnknownModel            404 unknown_model
│   ├── UnknownKey              404 unknown_key
│   ├── UnknownRoute            404 unknown_route
│   ├── NotServableLive         409 not_servable_live
│   ├── NotScoredYet            409 not_scored_yet
│   ├── TooManyInstances        413 too_many_instances
│   └── StoreUnavailable        503 store_unavailable
└── RunError                    a pipeline run stops; Step Functions sees the class name
    ├── BadTrigger              what started the execution is not a trigger
    ├── EmptyInput              no object or no row under the input location
    ├── MissingColumns          the input lacks columns of the schema
    ├── WrongColumnType         a column cannot hold the schema's type
    ├── UnreadableInput         a file is not what its format says
    ├── TooManyBadRows          more rows quarantined than the threshold allows
    ├── IncompleteOutput        Batch Transform left fewer results than rows sent
    └── VerificationFailed      counts do not add up; the generation stays invisible
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


class NotServableLive(RequestError):
    http_status, code = 409, "not_servable_live"


class NotScoredYet(RequestError):
    http_status, code = 409, "not_scored_yet"


class TooManyInstances(RequestError):
    http_status, code = 413, "too_many_instances"


class StoreUnavailable(RequestError):
    http_status, code = 503, "store_unavailable"


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


class UnreadableInput(RunError):
    code = "unreadable_input"


class TooManyBadRows(RunError):
    code = "too_many_bad_rows"


class IncompleteOutput(RunError):
    code = "incomplete_output"


class VerificationFailed(RunError):
    code = "verification_failed"


#: Names as Step Functions sees them in `ErrorEquals`: retrying these is pointless.
PERMANENT_RUN_ERRORS = tuple(sorted(cls.__name__ for cls in RunError.__subclasses__()))
