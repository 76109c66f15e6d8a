"""One item of a bill, and the case that it is worked out for."""

from dataclasses import dataclass
from typing import Literal

from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost.workload import Workload
from turnout.prices import SURE, PriceMissing, Prices

Kind = Literal["monthly", "once"]
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Line:
    """`units` times the price named `price` are `usd`, None where no price is known; `how` says where units come from.

    `kind` is `monthly`, or `once` for what a first deployment or a switch costs.
    """

    what: str
    usd: float | None
    units: float
    price: str
    how: str
    confidence: str = SURE
    kind: Kind = "monthly"


@dataclass(frozen=True)
class Case:
    """One entry in one stage under one workload."""

    spec: ModelSpec
    stage: Stage
    work: Workload
    prices: Prices

    def line(
        self, what: str, price: str, units: float, how: str, kind: Kind = "monthly", confidence: str | None = None
    ) -> Line:
        """Return the line of so many units. Where the table has no such price, `how` says so and which is nearest.

        `confidence` is how sure the units are, where they are less so than the price.
        """
        try:
            found = self.prices.get(price)
        except PriceMissing as error:
            return Line(what, None, units, price, f"{how}. {error}", UNKNOWN, kind)
        return Line(what, units * found.each, units, price, how, confidence or found.confidence, kind)

    def hours(self, what: str, instance_type: str, hours: float, how: str, kind: Kind = "monthly") -> Line:
        """Return the line of instance hours."""
        return self.line(what, f"sagemaker_instance.{instance_type}", hours, how, kind)
