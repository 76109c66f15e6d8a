"""Every List operation: filters, order and pages, from one small table.

Pages do not shift when what was listed is deleted or added to meanwhile: a token holds the place of the last
item, not a count. Which members a summary has, the service's model knows.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.ports import Scope
from turnout.local.sagemaker.store import RESOURCES, Store
from turnout.local.sagemaker.validation import MILLISECONDS

PAGE_SIZE = 10  # AWS's, where its documentation names one
PAGING = ("NextToken", "MaxResults")
TIMES = ("CreationTime", "TransformStartTime", "TransformEndTime", "LastModifiedTime")


@dataclass(frozen=True)
class Listing:
    """One List operation: the kind of record and the output's member; `order` is the default SortOrder."""

    kind: str
    key: str
    status: str = ""
    order: str = "Descending"

    @property
    def name(self) -> str:
        return RESOURCES[self.kind].name


LISTINGS = {
    "ListModels": Listing("models", "Models"),
    "ListEndpointConfigs": Listing("endpoint_configs", "EndpointConfigs"),
    "ListEndpoints": Listing("endpoints", "Endpoints", "EndpointStatus"),
    "ListTransformJobs": Listing("jobs", "TransformJobSummaries", "TransformJobStatus"),
    "ListModelPackageGroups": Listing("model_package_groups", "ModelPackageGroupSummaryList", order="Ascending"),
    "ListModelPackages": Listing("model_packages", "ModelPackageSummaryList", order="Ascending"),
}


class Lists:
    """The List operations that need no more than the table."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> dict[str, Callable[[Scope, dict], dict]]:
        return {name: partial(self._list, name) for name in LISTINGS if name != "ListModelPackages"}

    def _list(self, operation: str, scope: Scope, request: dict) -> dict:
        if request.get("CrossAccountFilterOption") == "CrossAccount":
            return {LISTINGS[operation].key: []}  # nothing is ever shared between the accounts here
        return listed(operation, self._store.all(LISTINGS[operation].kind, scope), request)


def listed(operation: str, records: Iterable[dict], request: dict) -> dict:
    """Return one page of the records that the request's filters let through. Raises Invalid for a strange token."""
    listing = LISTINGS[operation]
    wanted = [record for record in map(_dated, records) if _passes(listing, record, request)]
    by = {"Name": listing.name, "Status": listing.status}.get(request.get("SortBy"), "CreationTime")
    return page(
        operation,
        wanted,
        request,
        key=listing.key,
        place=lambda record: [record[by], record[listing.name], record.get("ModelPackageVersion", 0)],
        descending=request.get("SortOrder", listing.order) == "Descending",
    )


def _dated(record: dict) -> dict:
    """Return the record with its times as clients see them.

    Transform jobs have no LastModifiedTime of their own, but their summaries do.
    """
    times = {name: round(record[name], MILLISECONDS) for name in TIMES if name in record}
    return {**record, **times, "LastModifiedTime": max(times.values())}


def _passes(listing: Listing, record: dict, request: dict) -> bool:
    """Whether a record passes the filters: After includes the moment itself, Before does not."""
    for time in ("CreationTime", "LastModifiedTime"):
        after, before = request.get(f"{time}After"), request.get(f"{time}Before")
        if (after is not None and record[time] < after) or (before is not None and record[time] >= before):
            return False
    if status := request.get("StatusEquals"):
        return record[listing.status] == status and request.get("NameContains", "") in record[listing.name]
    return request.get("NameContains", "") in record[listing.name]


# Pages


def page(
    operation: str,
    records: Iterable[dict],
    request: dict,
    *,
    key: str,
    place: Callable[[dict], list],
    descending: bool = False,
) -> dict:
    """Return one page under `key`, with a NextToken when there is more.

    `place` gives what the records are sorted by, as JSON; no two records may have the same. Raises Invalid for a
    token that this operation did not give out for this very question.
    """
    ordered = sorted(records, key=place, reverse=descending)
    if token := request.get("NextToken"):
        last = _opened(token, _question(operation, request))
        ordered = [record for record in ordered if (place(record) < last if descending else place(record) > last)]
    size = request.get("MaxResults", PAGE_SIZE)
    shown = ordered[:size]
    if len(ordered) <= size:
        return {key: shown}
    return {key: shown, "NextToken": _sealed(_question(operation, request), place(shown[-1]))}


def _question(operation: str, request: dict) -> str:
    asked = {name: value for name, value in request.items() if name not in PAGING}
    return hashlib.sha256(json.dumps([operation, asked], sort_keys=True).encode()).hexdigest()[:16]


def _sealed(question: str, place: list) -> str:
    return base64.urlsafe_b64encode(json.dumps([question, place]).encode()).decode()


def _opened(token: str, question: str) -> Any:
    try:
        given, place = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError) as error:
        raise Invalid(f"The NextToken {token!r} is not valid.") from error
    if given != question:
        raise Invalid("The NextToken belongs to another request: only NextToken and MaxResults may differ.")
    return place
