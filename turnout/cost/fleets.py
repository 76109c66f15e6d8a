"""The bill of a whole `models.yaml`: every model with every mode, and what all of them share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from handlers.contract.modes import ServingMode
from turnout.config.specs import ModelSpec
from turnout.config.stages import Stage
from turnout.cost.billing import Bill, bill, bills, entry_for, shared_bill
from turnout.cost.workload import Workload, workload_of
from turnout.prices import Prices

NOT_COUNTED = "Free tiers, data transfer out of AWS, taxes and discounts are not counted."
#: Figures whose tenth and tenfold are tried to see what changes the answer.
TRIED = {
    "requests": "requests",
    "entities": "rows a run",
    "runs": "runs",
    "model_seconds": "seconds of the model a request",
}


@dataclass(frozen=True)
class ModelBills:
    """One model: the mode in its entry, what its bills rest on, and the bill of every mode."""

    name: str
    mode: ServingMode
    work: Workload
    bills: Mapping[ServingMode, Bill]

    @property
    def own(self) -> Bill:
        """The bill of the mode in the entry."""
        return self.bills[self.mode]

    @property
    def lawful(self) -> dict[ServingMode, Bill]:
        return {mode: bill for mode, bill in self.bills.items() if bill.refused is None}

    @property
    def cheapest(self) -> ServingMode | None:
        """The legal mode with the smallest bill of those whose prices are all known; what it promises is not asked."""
        known = {mode: bill.monthly for mode, bill in self.lawful.items() if bill.complete}
        return min(known, key=known.__getitem__, default=None)

    def to_body(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "mode": self.mode,
            "usd": round(self.own.monthly, 2),
            "rests_on": list(self.work.notes),
            "modes": {mode.value: bill.to_body() for mode, bill in self.bills.items()},
        }


@dataclass(frozen=True)
class Fleet:
    """All models of a stage in one Region, priced on one day."""

    stage: str
    region: str
    compiled: date
    age_days: int
    stale: str | None
    models: tuple[ModelBills, ...]
    shared: Bill

    @property
    def monthly(self) -> float:
        """USD a month of the fleet as its entries are, with what the models share."""
        return sum(model.own.monthly for model in self.models) + self.shared.monthly

    @property
    def missing(self) -> list[str]:
        """What the declared modes are charged for without a known price, each with the nearest that is known."""
        return [f"{model.name}: {line.what}: {line.how}" for model in self.models for line in model.own.missing]

    def to_body(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "region": self.region,
            "currency": "USD",
            "prices_of": self.compiled.isoformat(),
            "prices_age_days": self.age_days,
            "stale": self.stale,
            "not_counted": NOT_COUNTED,
            "usd": round(self.monthly, 2),
            "missing": self.missing,
            "models": [model.to_body() for model in self.models],
            "shared": self.shared.to_body(),
        }


def fleet(models: Mapping[str, ModelSpec], stage: Stage, prices: Prices, today: date, **given: Any) -> Fleet:
    """Return the bills of models by name. `given` figures of a Workload go before what the entries say."""
    each = tuple(model_bills(spec, stage, prices, **given) for _, spec in sorted(models.items()))
    return Fleet(
        stage=stage.name,
        region=prices.region,
        compiled=prices.compiled,
        age_days=prices.age_days(today),
        stale=prices.stale(today),
        models=each,
        shared=shared_bill(stage, prices),
    )


def model_bills(spec: ModelSpec, stage: Stage, prices: Prices, **given: Any) -> ModelBills:
    work = workload_of(spec, **given)
    return ModelBills(spec.name, spec.mode, work, bills(spec, stage, work, prices))


def changes(model: ModelBills, spec: ModelSpec, stage: Stage, prices: Prices) -> Iterator[str]:
    """Yield a sentence for each figure whose tenth or tenfold moves the bill by a tenth or changes what is cheapest."""
    before = model.own.monthly
    for figure, word in TRIED.items():
        for factor, how in ((0.1, "a tenth of the"), (10, "ten times the")):
            value = getattr(model.work, figure) * factor
            work = replace(model.work, **{figure: type(getattr(model.work, figure))(value)})
            after = bill(model.mode, spec, stage, work, prices).monthly
            cheapest = _cheapest(model, spec, stage, work, prices)
            moved = cheapest is not None and cheapest is not model.cheapest
            if abs(after - before) < 0.1 * before and not moved:
                continue
            then = f"; {cheapest} is the cheapest then, not {model.cheapest}" if moved else ""
            yield f"{how} {word}: ${after:,.2f} instead of ${before:,.2f}{then}"


def _cheapest(model: ModelBills, spec: ModelSpec, stage: Stage, work: Workload, prices: Prices) -> ServingMode | None:
    known = {
        mode: bill(mode, entry_for(spec, mode)[0], stage, work, prices).monthly
        for mode, before in model.lawful.items()
        if before.complete
    }
    return min(known, key=known.__getitem__, default=None)
