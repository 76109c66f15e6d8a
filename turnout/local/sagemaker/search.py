"""Search: filters on any property of a resource, as the shapes of SearchRecord describe it.

Property names are dotted paths; one that leads through a list means any item of it, `Tags.KEY` a tag.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import Invalid, NotEmulated
from turnout.local.sagemaker.listing import page
from turnout.local.sagemaker.ports import Scope
from turnout.local.sagemaker.store import RESOURCES, Store

MOST_CONDITIONS = 50
NUMBERS = ("integer", "long", "float", "double")
ORDERED = ("GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
TEXT_ONLY = ("Contains", "In")
#: Resource -> kind of record.
SEARCHED = {
    "Endpoint": "endpoints",
    "Model": "models",
    "ModelPackage": "model_packages",
    "ModelPackageGroup": "model_package_groups",
}


class Search:
    """The operation. `describe_endpoint(scope, record)` returns what DescribeEndpoint shows, which is more."""

    def __init__(self, store: Store, describe_endpoint: Callable[[Scope, dict], dict]) -> None:
        self._store, self._describe_endpoint = store, describe_endpoint

    def operations(self) -> dict[str, Callable[[Scope, dict], dict]]:
        return {"Search": self.search}

    def search(self, scope: Scope, request: dict) -> dict:
        resource, expression = request["Resource"], request.get("SearchExpression")
        if resource not in SEARCHED:
            raise NotEmulated(
                f"Search of {resource} is not emulated by the local cloud; of {', '.join(SEARCHED)} it is."
            )
        for member in ("VisibilityConditions", "CrossAccountFilterOption"):
            if request.get(member, "SameAccount") != "SameAccount":
                raise NotEmulated(f"Search with {member} is not emulated by the local cloud.")
        shape = validation.structure("SearchRecord").members[resource]
        if expression is not None:
            _check_size(expression)
            _holds(shape, {}, expression)  # mistakes are told even where there is nothing to find
        records = [self._record(scope, shape, resource, each) for each in self._store.all(SEARCHED[resource], scope)]
        found = [record for record in records if expression is None or _holds(shape, record, expression)]
        by = _sort_property(shape, request.get("SortBy"))
        answer = page(
            "Search",
            found,
            request,
            key="Results",
            place=lambda record: [*by(record), record["_Arn"]],
            descending=request.get("SortOrder", "Descending") == "Descending",
        )
        answer["Results"] = [{resource: record} for record in answer["Results"]]
        return answer | {"TotalHits": {"Value": len(found), "Relation": "EqualTo"}}

    def _record(self, scope: Scope, shape: Any, resource: str, record: dict) -> dict:
        """Return what Search shows of a resource, and its ARN as `_Arn`."""
        arn = record[RESOURCES[SEARCHED[resource]].arn]
        described = self._describe_endpoint(scope, record) if resource == "Endpoint" else record
        shown = {**described, "Tags": self._store.tags(scope, arn)}
        whole = self._dashboard(scope, shown) if resource == "Model" else shown
        return {**validation.cut(shape, whole), "_Arn": arn}

    def _dashboard(self, scope: Scope, model: dict) -> dict:
        """Return a model with its endpoints and its last transform job, as SageMaker's model dashboard has it."""
        endpoints = [
            endpoint
            for endpoint in self._store.all("endpoints", scope)
            if any(v["ModelName"] == model["ModelName"] for v in endpoint["_Config"]["ProductionVariants"])
        ]
        jobs = [job for job in self._store.all("jobs", scope) if job["ModelName"] == model["ModelName"]]
        shown = {"Model": model, "Endpoints": endpoints}
        return shown | ({"LastBatchTransformJob": max(jobs, key=lambda j: j["CreationTime"])} if jobs else {})


# Expressions


def _check_size(expression: dict) -> None:
    """Raise Invalid for an expression with more conditions than AWS takes, or with none."""
    conditions = list(_conditions(expression))
    if len(conditions) > MOST_CONDITIONS:
        raise Invalid(f"A SearchExpression can have at most {MOST_CONDITIONS} filters; this one has {len(conditions)}.")
    if sum(condition.get("Operator") == "Contains" for condition in conditions) > 1:
        raise Invalid("'CONTAINS' operator usage limit of 1 exceeded.")


def _conditions(expression: dict) -> Iterator[dict]:
    if not any(expression.get(member) for member in ("Filters", "NestedFilters", "SubExpressions")):
        raise Invalid("A SearchExpression needs at least one subexpression, filter, or nested filter.")
    yield from expression.get("Filters", [])
    for nested in expression.get("NestedFilters", []):
        yield from nested["Filters"]
    for inner in expression.get("SubExpressions", []):
        yield from _conditions(inner)


def _holds(shape, record: dict, expression: dict) -> bool:
    """Whether a record satisfies an expression; every part is looked at, so that each mistake is found."""
    results = [_satisfies(shape, record, condition) for condition in expression.get("Filters", [])]
    results += [_nested(shape, record, nested) for nested in expression.get("NestedFilters", [])]
    results += [_holds(shape, record, inner) for inner in expression.get("SubExpressions", [])]
    return any(results) if expression.get("Operator") == "Or" else all(results)


def _nested(shape, record: dict, nested: dict) -> bool:
    """Whether one object of a list satisfies all filters; their names begin with the list's."""
    path = nested["NestedPropertyName"]
    found = _property(shape, path)
    if found.shape.type_name != "list" or found.shape.member.type_name != "structure":
        raise Invalid(f"NestedPropertyName {path} is not a list of objects.")
    inner = [{**each, "Name": each["Name"].removeprefix(f"{path}.")} for each in nested["Filters"]]
    items = [item for items in found.values(record) for item in items]
    results = [[_satisfies(found.shape.member, item, each) for each in inner] for item in (*items, {})]
    return any(all(result) for result in results[:-1])  # the last one, of nothing, only finds mistakes


def _satisfies(shape, record: dict, condition: dict) -> bool:
    found = _property(shape, condition["Name"])
    values, operator = found.values(record), condition.get("Operator", "Equals")
    if operator in ("Exists", "NotExists"):
        return bool(values) == (operator == "Exists")
    if "Value" not in condition:
        raise Invalid(f"Operator {operator} on {condition['Name']} needs a Value.")
    kind = found.shape.type_name
    if (operator in ORDERED and kind not in (*NUMBERS, "timestamp")) or (operator in TEXT_ONLY and kind != "string"):
        raise Invalid(f"Operator {operator} is not supported for property {condition['Name']}, which is a {kind}.")
    if operator == "In":
        wanted: Any = [text.strip() for text in condition["Value"].split(",")]
    else:
        wanted = _parsed(kind, condition["Value"], condition["Name"])
    compare = COMPARISONS[operator]
    return (
        all(compare(v, wanted) for v in values) if operator == "NotEquals" else any(compare(v, wanted) for v in values)
    )


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "NotEquals": lambda value, wanted: value != wanted,
    "GreaterThan": lambda value, wanted: value > wanted,
    "GreaterThanOrEqualTo": lambda value, wanted: value >= wanted,
    "LessThan": lambda value, wanted: value < wanted,
    "LessThanOrEqualTo": lambda value, wanted: value <= wanted,
    "Contains": lambda value, wanted: wanted in value,
    "In": lambda value, wanted: value in wanted,
}


def _parsed(kind: str, text: str, name: str) -> Any:
    """Return a filter's text as the property's type. Raises Invalid."""
    try:
        if kind == "timestamp":
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if kind in NUMBERS:
            return float(text)
        return {"true": True, "false": False}[text.lower()] if kind == "boolean" else text
    except (ValueError, KeyError) as error:
        raise Invalid(f"Value {text!r} of property {name} is not a {kind}.") from error


# Properties


@dataclass(frozen=True)
class Property:
    """Where a property stands: its shape, and the members, `Key` of tags or keys of maps that lead to it."""

    shape: Any
    steps: tuple[str, ...]

    def values(self, record: dict) -> list:
        """Return its values in a record; a list on the way gives one for each item."""
        values: list = [record]
        for step in self.steps:
            values = [v for each in values for v in _step(each, step)]
        if self.shape.type_name != "list":
            values = [v for value in values for v in (value if isinstance(value, list) else [value])]
        return [value for value in values if value not in (None, [], {})]


def _step(value: Any, name: str) -> list:
    if isinstance(value, list):
        return [found for item in value for found in _step(item, name)]
    if name.startswith("Tags."):
        return [tag["Value"] for tag in value.get("Tags", []) if tag["Key"] == name.removeprefix("Tags.")]
    return [value[name]] if name in value else []


def _property(shape, name: str) -> Property:
    """Return the property of that name. Raises Invalid when the resource has none.

    A model's own properties need no `Model.` before them, as the dashboard's record has it.
    """
    known, steps, rest = shape, [], name.split(".")
    if "Model" in shape.members and rest[0] not in shape.members:
        known, steps = shape.members["Model"], ["Model"]
    while rest:
        while known.type_name == "list":
            known = known.member
        if rest[0] == "Tags" and len(rest) > 1:
            return Property(validation.structure("TagValue"), (*steps, ".".join(rest)))
        if known.type_name == "map":
            return Property(known.value, (*steps, ".".join(rest)))
        if known.type_name != "structure" or rest[0] not in known.members:
            raise Invalid(f"Unknown property name: {name}")
        steps.append(rest.pop(0))
        known = known.members[steps[-1]]
    if known.type_name == "list" and known.member.type_name not in ("structure", "list", "map"):
        known = known.member
    return Property(known, tuple(steps))


def _sort_property(shape, name: str | None) -> Callable[[dict], list]:
    """Return what to sort by: a property, or when a resource was last changed; those without it come first."""
    if name is not None:
        chosen = [_property(shape, name)]
    else:
        chosen = [_property(shape, each) for each in ("LastModifiedTime", "CreationTime") if _has(shape, each)]
    if chosen[0].shape.type_name in ("structure", "list", "map"):
        raise Invalid(f"Search results cannot be sorted by {name}.")

    def place(record: dict) -> list:
        value = next((values[0] for each in chosen if (values := each.values(record))), None)
        return [value is not None, value if value is not None else 0]

    return place


def _has(shape, name: str) -> bool:
    members = shape.members["Model"].members if "Model" in shape.members else shape.members
    return name in members
