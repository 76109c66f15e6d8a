"""What an item costs in DynamoDB, by the documented rules for sizes and capacity units."""

from typing import Any

KILOBYTE = 1_024


def item_bytes(item: dict[str, Any]) -> int:
    """Return an item's size: names and text in UTF-8, binary as it is, a number about half its significant digits.

    Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _attribute_bytes(attribute) for name, attribute in item.items())


def write_units(item: dict[str, Any]) -> int:
    """Return the write request units of putting an item: one for each 1 KB begun."""
    return -(-item_bytes(item) // KILOBYTE)


def read_units(item: dict[str, Any]) -> float:
    """Return the read request units of an eventually consistent read: a half for each 4 KB begun."""
    return -(-item_bytes(item) // (4 * KILOBYTE)) / 2


def _attribute_bytes(attribute: dict[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    if kind == "N":
        return -(-len(value.strip("0")) // 2) + 1
    return len(value.encode() if kind == "S" else value)
