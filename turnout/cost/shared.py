"""What a stage costs besides its models: stray requests, the alarms' topic and key, logs of the buckets."""

from collections.abc import Iterator

from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost.lines import Case, Line
from turnout.cost.requests import door
from turnout.cost.workload import Workload
from turnout.prices import Prices

STRAYS = 1000  # requests a month for models that do not exist
ACCESS_LOG_GB = 0.1
NOTICES = 20  # of alarms, a month, that go to the topic and to one address


def lines(stage: Stage, prices: Prices) -> Iterator[Line]:
    case = Case(ModelSpec.model_construct(), stage, Workload(), prices)
    yield from door(case, "unknown models", STRAYS)
    yield case.line("buckets: access logs", "s3.storage", ACCESS_LOG_GB, f"{ACCESS_LOG_GB:g} GB")
    yield case.line("alarms: key", "kms.key", 1, "of the topic, which CloudWatch could not use otherwise")
    yield case.line("alarms: the API's", "cloudwatch.alarm", 1, "1 alarm")
    if stage.alarms:
        yield case.line("alarms: notices", "sns.publish", NOTICES, f"{NOTICES} a month")
        yield case.line("alarms: mails", "sns.email", NOTICES, f"{NOTICES} a month, if there is an address")
        yield case.line("alarms: KMS", "kms.requests", NOTICES, f"{NOTICES} a month")
