"""Price tables as they lie in the repository, `<region>.json`: section -> name -> price, with source and confidence.

A price is named `section.name`, such as `lambda.requests` or `sagemaker_instance.ml.m5.large`.
"""

import difflib
import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from turnout.errors import UserError

FOLDER = Path(__file__).parent
#: Confidence of a price that was read at a primary source; any other is marked wherever the price is used.
SURE = "verified"
#: Days after which a table is told to be old.
STALE_DAYS = 180
INSTANCES = "sagemaker_instance"
#: What a table says of each price; `usd` is null where no source states it.
WRITTEN = ("usd", "per", "unit", "source", "as_of", "confidence")
DEFAULT_REGION = "us-east-1"


class PriceMissing(UserError):
    """A price, or a whole Region, that no table has."""


class PricesBroken(UserError):
    """A table that cannot be read, or that holds what is no price."""


@dataclass(frozen=True)
class Price:
    """One list price: `usd` for `per` units. `source` says where it was read and `as_of` when."""

    key: str
    usd: float
    per: int
    unit: str
    source: tuple[str, ...] = ()
    as_of: str = ""
    confidence: str = SURE

    @property
    def each(self) -> float:
        """USD for one unit."""
        return self.usd / self.per


@dataclass(frozen=True)
class Prices:
    """A Region's prices. `compiled` is the day on which the table was written."""

    region: str
    compiled: date
    entries: Mapping[str, Price] = field(repr=False)
    unknown: Mapping[str, str] = field(default_factory=dict)  # wanted, stated by no source: the unit of each

    def get(self, key: str) -> Price:
        """Return a price. Raises PriceMissing, which names the nearest that is known."""
        if found := self.entries.get(key):
            return found
        why = "is not stated by any source" if key in self.unknown else "is not in the table"
        raise PriceMissing(f"The price {key} of {self.region} {why}.", self._instead(key))

    def instance(self, kind: str) -> Price:
        """Return the price of one instance for an hour; hosting, transform and asynchronous endpoints cost the same."""
        return self.get(f"{INSTANCES}.{kind}")

    def nearest(self, key: str) -> str | None:
        """Return the known key that is most like another and a price of the same unit; None where there is none.

        Of instance types that is the same family and the nearest size. A key that no table has is taken for misspelt.
        """
        section, _, name = key.partition(".")
        known = [known for known in self.entries if known.startswith(f"{section}.")]
        if section == INSTANCES:
            return min(known, key=lambda each: _distance(name, each.partition(".")[2]), default=None)
        unit = self.unknown.get(key)
        if unit is None:
            return next(iter(difflib.get_close_matches(key, known, 1, 0.8)), None)
        alike = [each for each in known if self.entries[each].unit == unit]
        return next(iter(difflib.get_close_matches(key, alike, 1, 0.4)), None)

    def age_days(self, today: date) -> int:
        return (today - self.compiled).days

    def stale(self, today: date) -> str | None:
        """Return a sentence about a table that is too old to be believed, or of days to come; None for another."""
        days = self.age_days(today)
        if -1 <= days <= STALE_DAYS:  # it is tomorrow elsewhere
            return None
        age = f"{days} days old ({self.compiled})" if days > 0 else f"of {self.compiled}, and it is {today}"
        return f"The prices of {self.region} are {age}: run `turnout prices refresh --region {self.region}`."

    def _instead(self, key: str) -> str:
        refresh = f"`turnout prices refresh --region {self.region}` may bring it."
        near = self.nearest(key)
        return f"The nearest known is {near} at ${self.get(near).each:.4g}; {refresh}" if near else refresh


@functools.cache
def load(region: str = DEFAULT_REGION, folder: Path = FOLDER) -> Prices:
    """Return the table of a Region. Raises PriceMissing where there is none, and PricesBroken."""
    path = folder / f"{region}.json"
    if region not in regions(folder):
        known = ", ".join(regions(folder))
        remedy = f"There are tables of {known}; `turnout prices refresh --region {region}` makes one."
        raise PriceMissing(f"There is no price table of {region!r}.", remedy)
    return parse(read(path))


def read(path: Path) -> dict[str, Any]:
    """Return a table as it is written. Raises PricesBroken where it is not one."""
    try:
        table = json.loads(path.read_bytes())
        parse(table)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        remedy = f"Put it back from version control, or run `turnout prices refresh --region {path.stem}`."
        raise PricesBroken(f"The price table {path} cannot be read: {error!r}.", remedy) from error
    return table


def parse(table: Mapping[str, Any]) -> Prices:
    """Return the prices that a table holds.

    Raises AttributeError, KeyError, TypeError or ValueError for what is no table.
    """
    meta, entries, unknown = table["_meta"], {}, {}
    for section, prices in table.items():
        for name, entry in prices.items() if section != "_meta" else ():
            price = _price(f"{section}.{name}", entry)
            if price.usd is None:
                unknown[price.key] = price.unit
            else:
                entries[price.key] = price
    return Prices(meta["region"], date.fromisoformat(meta["compiled"]), entries, unknown)


def _price(key: str, entry: Mapping[str, Any]) -> Price:
    found = Price(key, **{**{name: entry[name] for name in WRITTEN}, "source": tuple(entry["source"])})
    if not (found.usd is None or _is_amount(found.usd)) or not _is_amount(found.per) or not found.per:
        raise ValueError(f"{key} is {found.usd!r} USD for {found.per!r}")
    return found


def _is_amount(value: Any) -> bool:
    """Return whether a value is a number that something can cost."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def regions(folder: Path = FOLDER) -> list[str]:
    """Return the Regions that have a table."""
    return sorted(path.stem for path in folder.glob("*.json"))


_SIZES = {"medium": 0.5, "large": 1.0, "xlarge": 2.0}


def _distance(wanted: str, known: str) -> tuple[float, float]:
    """Return how unlike two instance types are: family first, then size in doublings."""
    family, size = _split(wanted)
    other, other_size = _split(known)
    likeness = difflib.SequenceMatcher(None, family, other).ratio()
    return 1 - likeness, abs(size - other_size)


def _split(kind: str) -> tuple[str, float]:
    """Return the family of `ml.m5.2xlarge`, and its size in doublings of `large`."""
    family, _, size = kind.removeprefix("ml.").partition(".")
    times = re.fullmatch(r"([0-9]+)xlarge", size)
    return family, math.log2(2 * int(times[1]) if times else _SIZES.get(size, 1.0))
