"""A Region's price table, written anew from what AWS's Price List Query API answers.

All services are asked first and the file is put in place last: whatever fails before leaves the old table as it was.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from turnout.errors import UserError
from turnout.prices.catalogue import FREE, INSTANCE, INSTANCE_USES, PLACES, SAGEMAKER, SERVICES
from turnout.prices.table import FOLDER, INSTANCES, SURE, Prices, PricesBroken, parse, read, regions

#: The API answers for every Region, but only in us-east-1, eu-central-1 and ap-south-1.
API_REGION = "us-east-1"
#: The table whose names, units and quantities the others share, if it can be read.
PATTERN = "us-east-1"
WARNING = (
    "Public on-demand list prices. confidence: verified = read at a primary source; medium, low, derived = "
    "arithmetic or second hand; from memory = not looked up; unknown = no figure. usd is the price of `per` units."
)


class NotRefreshed(UserError):
    """AWS gave no prices that a table could be made of."""


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did: `changed` prices as (key, before, after), keys that are `new`, and those that AWS does not
    list any more or not clearly, which were `kept` from the old table or, where there was none, left `unknown`.
    """

    prices: Prices
    path: Path
    changed: tuple[tuple[str, float, float], ...]
    new: tuple[str, ...]
    kept: tuple[str, ...]
    unknown: tuple[str, ...]
    unreadable: str | None = None  # why an old table was taken for none

    def to_body(self) -> dict[str, Any]:
        changed = {key: {"before": before, "after": after} for key, before, after in self.changed}
        lists = {"new": list(self.new), "kept": list(self.kept), "unknown": list(self.unknown)}
        whole = {"region": self.prices.region, "table": str(self.path), "changed": changed, **lists}
        return {**whole, "unreadable": self.unreadable}

    def lines(self) -> Iterator[str]:
        """Yield what happened as sentences; prices are those of one unit."""
        if self.unreadable:
            yield f"There was a table that could not be read, and it was taken for none. {self.unreadable}"
        counts = f"{len(self.prices.entries)} prices, {len(self.changed)} changed, {len(self.new)} new"
        yield f"{self.path}: {counts}."
        for key, before, after in self.changed:
            change = f" ({after / before - 1:+.1%})" if before else ""
            yield f"  {key}: ${before:.6g} is ${after:.6g} now{change}"
        if self.kept:
            yield f"Not confirmed by AWS's list and kept as they were, marked as less sure: {', '.join(self.kept)}."
        if self.unknown:
            yield f"No price is known for: {', '.join(self.unknown)}. A bill that needs one fails and says so."


def refresh(region: str, client: Any, today: date, folder: Path = FOLDER) -> Refreshed:
    """Write the table of a Region by AWS's answers. Raises NotRefreshed, and the old table stays.

    An old table that cannot be read is taken for none.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    old, unreadable = _old(folder, region)
    pattern = old or _pattern(folder)
    stays = f"The table of {region} is as it was." if old or unreadable else f"There is still no table of {region}."
    try:
        listed = [product for service in SERVICES for product in products(client, service, region)]
        table = table_of(region, listed, pattern, old, today)
        path = _put(folder / f"{region}.json", json.dumps(table, indent=1) + "\n")
    except (BotoCoreError, ClientError) as error:
        raise NotRefreshed(f"AWS's price list gave no answer: {error}.", stays) from error
    except (KeyError, ValueError) as error:
        raise NotRefreshed(f"AWS's price list answered in a form that is not known: {error!r}.", stays) from error
    except OSError as error:
        raise NotRefreshed(f"The table could not be written: {error}.", stays) from error
    except NotRefreshed as error:
        raise NotRefreshed(error.message, stays) from error
    return _report(parse(table), path, old, unreadable)


def _old(folder: Path, region: str) -> tuple[dict[str, Any], str | None]:
    """Return the table that there is of a Region, or none and why it cannot be read."""
    if region not in regions(folder):
        return {}, None
    try:
        return read(folder / f"{region}.json"), None
    except PricesBroken as error:
        return {}, error.message


def _pattern(folder: Path) -> dict[str, Any]:
    """Return the table whose names, units and quantities a new one gets. Raises NotRefreshed."""
    for region in sorted(regions(folder), key=lambda region: region != PATTERN):
        table, _ = _old(folder, region)
        if table:
            return table
    raise NotRefreshed(
        f"No table in {folder} can be read, and a new one takes its names and units from another.",
        f"Put {PATTERN}.json back from version control.",
    )


def products(client: Any, service: str, region: str) -> Iterator[dict[str, Any]]:
    """Yield what a service sells in a Region: each product with its attributes and terms."""
    place = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
    for page in client.get_paginator("get_products").paginate(
        ServiceCode=service, Filters=place, FormatVersion="aws_v1"
    ):
        for text in page["PriceList"]:
            yield {"service": service, **json.loads(text)}


def table_of(
    region: str, listed: Iterable[dict[str, Any]], pattern: Mapping[str, Any], old: Mapping[str, Any], today: date
) -> dict[str, Any]:
    """Return a table with the names and quantities of `pattern`, all instance types that are listed, and prices of
    today. Raises NotRefreshed where the Region has no SageMaker.
    """
    rates, instances = _collect(listed)
    if not instances:
        raise NotRefreshed(f"AWS's price list has no SageMaker instance in Region {region!r}: is it spelt right?")
    meta = {"region": region, "currency": "USD", "compiled": today.isoformat(), "warning": WARNING}
    table: dict[str, Any] = {"_meta": meta}
    for section, entries in pattern.items():
        if section not in ("_meta", INSTANCES):
            table[section] = {
                name: _entry(f"{section}.{name}", entry, rates, old.get(section, {}).get(name), region, today)
                for name, entry in entries.items()
            }
    kept = {kind: _kept(entry, region, today) for kind, entry in old.get(INSTANCES, {}).items()}
    table[INSTANCES] = {**kept, **{kind: _instance(kind, uses, region, today) for kind, uses in instances.items()}}
    return table


def _collect(listed: Iterable[dict[str, Any]]) -> tuple[dict[str, set[float]], dict[str, dict[str, float]]]:
    """Return USD a unit by key, all that are listed for it, and of each instance type by its use."""
    rates: dict[str, set[float]] = {}
    instances: dict[str, dict[str, float]] = {}
    by_service = {service: [key for key, place in PLACES.items() if place.service == service] for service in SERVICES}
    for product in listed:
        attributes = product["product"]["attributes"]
        usd = unit_price(product)
        if usd is None:
            continue
        for key in by_service[product["service"]]:
            if PLACES[key].holds(attributes):
                rates.setdefault(key, set()).add(usd)
        found = INSTANCE.fullmatch(attributes.get("usagetype", "")) if product["service"] == SAGEMAKER else None
        if found:
            instances.setdefault(found[2], {})[found[1]] = usd
    return rates, instances


def unit_price(product: Mapping[str, Any]) -> float | None:
    """Return the on-demand USD of one unit in the first step that is charged for; None where there is none.

    Steps below it are free tiers, which a bill does not count.
    """
    steps = [
        (float(step["beginRange"]), float(step["pricePerUnit"]["USD"]))
        for term in product["terms"].get("OnDemand", {}).values()
        for step in term["priceDimensions"].values()
        if "USD" in step["pricePerUnit"]
    ]
    return next((usd for _, usd in sorted(steps) if usd > 0), None)


def _entry(
    key: str, pattern: Mapping[str, Any], rates: Mapping[str, set[float]], old: Any, region: str, today: date
) -> dict[str, Any]:
    if key in FREE:
        return dict(pattern)
    found = rates.get(key, set())
    if len(found) == 1:
        (usd,) = found
        return _listed(usd, pattern["per"], pattern["unit"], PLACES[key].service, region, today)
    if old is not None:
        return _kept(old, region, today)
    why = "listed at several prices" if found else "not listed"
    source = [f"AWS Price List Query API, {region}, {today}: {why}"]
    return {**pattern, "usd": None, "source": source, "as_of": today.isoformat(), "confidence": "unknown"}


def _listed(usd: float, per: int, unit: str, what: str, region: str, today: date, sure: str = SURE) -> dict[str, Any]:
    return {
        "usd": float(f"{usd * per:.10g}"),
        "per": per,
        "unit": unit,
        "source": [f"AWS Price List Query API, {what}, {region}, {today}"],
        "as_of": today.isoformat(),
        "confidence": sure,
    }


def _kept(old: Mapping[str, Any], region: str, today: date) -> dict[str, Any]:
    """Return an entry that AWS does not confirm: its price and date stay, and it is marked as less sure."""
    note = f"not confirmed by the AWS Price List Query API, {region}, {today}"
    before = [source for source in old["source"] if not source.startswith("not confirmed")]
    sure = "medium" if old["confidence"] == SURE else old["confidence"]
    return {**old, "source": [*before, note], "confidence": sure}


def _instance(kind: str, uses: Mapping[str, float], region: str, today: date) -> dict[str, Any]:
    """Return one type's entry. Bills take one rate whatever it is used for; where the uses differ, that is marked."""
    use = next(use for use in INSTANCE_USES if use in uses)
    differ = ", ".join(f"{other} ${usd:g}" for other, usd in uses.items() if usd != uses[use])
    what = f"{SAGEMAKER} {use}" + (f" (but {differ})" if differ else "")
    return _listed(uses[use], 1, "instance-hour", what, region, today, "medium" if differ else SURE)


def _put(path: Path, text: str) -> Path:
    """Put a text in a file's place in one go; the draft's name is not one of a table."""
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(text)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _report(new: Prices, path: Path, old: Mapping[str, Any], unreadable: str | None) -> Refreshed:
    before = parse(old).entries if old else {}
    changed = [
        (key, before[key].each, price.each)
        for key, price in new.entries.items()
        if key in before and before[key].each != price.each
    ]
    kept = [key for key, price in new.entries.items() if price.source[-1].startswith("not confirmed")]
    added = sorted(new.entries.keys() - before.keys())
    return Refreshed(new, path, tuple(changed), tuple(added), tuple(kept), tuple(sorted(new.unknown)), unreadable)
