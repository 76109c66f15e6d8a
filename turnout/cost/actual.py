"""What AWS really charged, by the tags that the stacks set, against the estimate.

Cost Explorer is asked once for each page of answers, and each time costs $0.01. Tags count from the day after they
were activated for cost allocation, once for the account that pays.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from turnout.cost.billing import Bill
from turnout.cost.differences import signed
from turnout.cost.fleets import Fleet
from turnout.cost.workload import DAYS
from turnout.documents import Block, Folded, Heading, Items, Table, Text
from turnout.errors import UserError

#: Cost Explorer answers for every Region, in this one.
API_REGION = "us-east-1"
STAGE_TAG, MODEL_TAG = "turnout:stage", "turnout:model"
SHARED = ""  # the name of what no model's tag is on
NOT_USAGE = ["Credit", "Refund", "Tax"]
#: What Cost Explorer calls the services that a section of the price table belongs to.
SERVICES = {
    "Amazon SageMaker": ("sagemaker", "sagemaker_instance", "sagemaker_serverless"),
    "AWS Lambda": ("lambda",),
    "Amazon API Gateway": ("api_gateway",),
    "Amazon DynamoDB": ("dynamodb",),
    "AWS Step Functions": ("step_functions",),
    "CloudWatch Events": ("eventbridge",),
    "Amazon Simple Queue Service": ("sqs",),
    "Amazon Simple Notification Service": ("sns",),
    "Amazon Kinesis": ("kinesis",),
    "Amazon Simple Storage Service": ("s3",),
    "AmazonCloudWatch": ("cloudwatch",),
    "AWS Key Management Service": ("kms",),
    "AWS X-Ray": ("xray",),
}
_SERVICE_OF = {section: service for service, sections in SERVICES.items() for section in sections}
NOTES = (
    "The HTTP API's requests are estimated with the model that answers them and charged to what the models share.",
    "Metrics and traces carry no tags: what AWS charges for them is in no row.",
    "Credits, refunds and taxes are left out. Free tiers, discounts and savings plans lower the charges only.",
)


@dataclass(frozen=True)
class Charges:
    """What one model, or what all share, was charged for by service: USD over `days`, which are counted from the first
    charge to the last day that AWS has data of.
    """

    name: str
    days: int
    by_service: Mapping[str, float]

    @property
    def usd(self) -> float:
        return sum(self.by_service.values())

    @property
    def monthly(self) -> float:
        """USD that a month of such days would cost."""
        return self.usd * self.scale

    @property
    def scale(self) -> float:
        return DAYS / self.days if self.days else 0.0


@dataclass(frozen=True)
class Row:
    """One model's estimate beside its charges; None where the file, or AWS, knows nothing of it."""

    name: str
    estimate: Bill | None
    charges: Charges | None

    def services(self) -> list[tuple[str, float, float]]:
        """Return USD a month by service, estimated and charged, the dearest first."""
        estimated: dict[str, float] = {}
        for line in self.estimate.lines if self.estimate else ():
            service = _SERVICE_OF[line.price.partition(".")[0]]
            if line.kind == "monthly":
                estimated[service] = estimated.get(service, 0.0) + (line.usd or 0.0)
        charged = self.charges.by_service if self.charges else {}
        scale = self.charges.scale if self.charges else 0.0
        both = [(name, estimated.get(name, 0.0), charged.get(name, 0.0) * scale) for name in {**estimated, **charged}]
        return sorted(both, key=lambda each: -max(each[1:]))

    @property
    def estimated(self) -> float:
        return self.estimate.monthly if self.estimate else 0.0

    @property
    def charged(self) -> float:
        return self.charges.monthly if self.charges else 0.0

    def to_body(self) -> dict[str, Any]:
        charges = self.charges
        return {
            "model": self.name or None,
            "estimated_usd": None if self.estimate is None else round(self.estimated, 2),
            "charged_usd": None if charges is None else round(charges.usd, 2),
            "charged_days": charges.days if charges else 0,
            "charged_usd_a_month": None if charges is None else round(self.charged, 2),
            "services": [
                {"service": service, "estimated_usd": round(estimated, 4), "charged_usd_a_month": round(charged, 4)}
                for service, estimated, charged in self.services()
            ],
        }


@dataclass(frozen=True)
class Actual:
    """Charges of the days from `start` until `end`, which is not counted. The last `empty` of them have no data yet;
    `uncertain` of the others may still change.
    """

    stage: str
    start: date
    end: date
    uncertain: int
    empty: int
    rows: tuple[Row, ...]

    def to_body(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "uncertain_days": self.uncertain,
            "days_without_data": self.empty,
            "currency": "USD",
            "notes": list(NOTES),
            "models": [row.to_body() for row in self.rows],
        }


def actual(fleet: Fleet, client: Any, today: date, days: int, *, alone: bool = False) -> Actual:
    """Return what AWS charged in the last whole days; `alone` leaves out what the fleet's models are not charged for.

    Raises UserError where AWS knows no charge with our tags, or answers in a form that is not known.
    """
    start = today - timedelta(days=days)
    results = list(_asked(client, fleet.stage, start, today))
    end = max((_day(result) + timedelta(days=1) for result in results if result.get("Groups")), default=start)
    charges = {each.name: each for each in _charges(results, end)}
    if not any(each.usd for each in charges.values()):
        raise UserError(
            f"Cost Explorer knows no charge with the tag {STAGE_TAG}={fleet.stage} from {start} on.",
            f"Activate {STAGE_TAG} and {MODEL_TAG} as cost allocation tags in the account that pays; "
            "they count from the day after.",
        )
    estimates: dict[str, Bill] = {**{model.name: model.own for model in fleet.models}, SHARED: fleet.shared}
    known = {model.name for model in fleet.models} if alone else {**estimates, **charges}
    names = sorted(known, key=lambda name: (name == SHARED, name))
    rows = tuple(Row(name, estimates.get(name), charges.get(name)) for name in names)
    # A day whose groups fill two pages is in both.
    uncertain = {_day(result) for result in results if result.get("Estimated") and _day(result) < end}
    return Actual(fleet.stage, start, today, len(uncertain), (today - end).days, rows)


def _asked(client: Any, stage: str, start: date, end: date) -> Iterator[dict[str, Any]]:
    """Yield each day's charges by model and service."""
    request: dict[str, Any] = {
        "TimePeriod": {"Start": start.isoformat(), "End": end.isoformat()},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "TAG", "Key": MODEL_TAG}, {"Type": "DIMENSION", "Key": "SERVICE"}],
        "Filter": {
            "And": [
                {"Tags": {"Key": STAGE_TAG, "Values": [stage], "MatchOptions": ["EQUALS"]}},
                {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": NOT_USAGE}}},
            ]
        },
    }
    while True:
        answer = client.get_cost_and_usage(**request)
        yield from answer.get("ResultsByTime", [])
        if not (token := answer.get("NextPageToken")):
            return
        request["NextPageToken"] = token


def _charges(results: list[dict[str, Any]], end: date) -> Iterator[Charges]:
    first: dict[str, date] = {}
    sums: dict[str, dict[str, float]] = {}
    for result in results:
        for group in result.get("Groups", []):
            name, service, usd = _charge(group)
            if usd:
                day = _day(result)
                first[name] = min(day, first.get(name, day))
                services = sums.setdefault(name, {})
                services[service] = services.get(service, 0.0) + usd
    for name, services in sums.items():
        yield Charges(name, (end - first[name]).days, services)


def _day(result: dict[str, Any]) -> date:
    try:
        return date.fromisoformat(result["TimePeriod"]["Start"])
    except (KeyError, ValueError) as error:
        raise _unknown(result) from error


def _charge(group: dict[str, Any]) -> tuple[str, str, float]:
    """Return a group's model, its service and USD; none where no amount is stated."""
    try:
        tag, service = group["Keys"]
        stated = group.get("Metrics", {}).get("UnblendedCost", {})
        usd = float(stated.get("Amount") or 0)
    except (KeyError, ValueError) as error:
        raise _unknown(group) from error
    if not math.isfinite(usd):
        raise _unknown(group)
    if (unit := stated.get("Unit", "USD")) not in ("USD", "N/A"):
        raise UserError(f"Cost Explorer answers in {unit}.", "The estimate is in USD only.")
    return tag.partition("$")[2], service, usd


def _unknown(part: dict[str, Any]) -> UserError:
    return UserError(f"Cost Explorer answers in a form that is not known: {part!r}.", "Ask again later.")


def comparison(found: Actual) -> Iterator[Block]:
    """Yield the charges beside the estimate as a document."""
    yield Heading("What AWS charged against the estimate")
    days = (found.end - found.start).days
    uncertain = f" AWS may still change {found.uncertain} of them." if found.uncertain else ""
    empty = f" Not counted, as AWS has no data yet: the last {found.empty} of them." if found.empty else ""
    yield Text(f"Stage {found.stage}, the {days} days from {found.start} to before {found.end}.{uncertain}{empty}")
    head = ("model", "days charged", "charged", "charged a month", "estimated a month", "difference")
    yield Table(head, tuple(_cells(row) for row in found.rows))
    for row in found.rows:
        services = tuple(
            (service, f"{estimated:,.2f}", f"{charged:,.2f}", signed(charged - estimated))
            for service, estimated, charged in row.services()
            if max(estimated, charged) >= 0.005
        )
        if services:
            table = Table(("USD a month", "estimated", "charged", "difference"), services)
            yield Folded(f"{_spelt(row)}: by service", (table,))
    yield Items(NOTES)


def _cells(row: Row) -> tuple[str, ...]:
    charges = row.charges
    return (
        _spelt(row),
        str(charges.days) if charges else "0",
        f"{charges.usd:,.2f}" if charges else "nothing",
        f"{row.charged:,.2f}" if charges else "",
        f"{row.estimated:,.2f}" if row.estimate else "not in the file",
        signed(row.charged - row.estimated) if charges and row.estimate else "",
    )


def _spelt(row: Row) -> str:
    return row.name or "shared"
