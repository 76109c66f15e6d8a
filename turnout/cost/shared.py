"""What a stage costs besides its models: the alarms' topic and key, the API's alarm."""

from collections.abc import Iterator

from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost.lines import Case, Line
from turnout.cost.workload import Workload
from turnout.prices import Prices

NOTICES = 20  # of alarms, a month, that go to the topic and to one address


def lines(stage: Stage, prices: Prices) -> Iterator[Line]:
    case = Case(ModelSpec.model_construct(), stage, Workload(), prices)
    yield case.line("alarms: key", "kms.key", 1, "of the topic, which CloudWatch could not use otherwise")
    yield case.line("alarms: the API's", "cloudwatch.alarm", 1, "1 alarm")
    if stage.alarms:
        yield case.line("alarms: notices", "sns.publish", NOTICES, f"{NOTICES} a month")
        yield case.line("alarms: mails", "sns.email", NOTICES, f"{NOTICES} a month, if there is an address")
        yield case.line("alarms: KMS", "kms.requests", NOTICES, f"{NOTICES} a month")
