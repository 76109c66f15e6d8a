"""Plain Python values to DynamoDB's attribute values and back: text, numbers and booleans, all that our items hold."""

from typing import Any

Item = dict[str, Any]
AttributeValues = dict[str, dict[str, Any]]


def to_attributes(item: Item) -> AttributeValues:
    return {name: to_attribute(value) for name, value in item.items()}


def to_attribute(value: str | int | bool) -> dict[str, Any]:
    """Return one attribute value. Raises TypeError for what items must not hold (a float would not come back equal)."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    raise TypeError(f"an item cannot hold {type(value).__name__}: {value!r}")


def from_attributes(attributes: AttributeValues) -> Item:
    return {name: from_attribute(value) for name, value in attributes.items()}


def from_attribute(attribute: dict[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    return int(value) if kind == "N" else value
