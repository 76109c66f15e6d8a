"""Which instance types SageMaker takes for what, and the nearest legal one for a type that it does not take.

`instances.json` holds botocore's `TransformInstanceType` and `ProductionVariantInstanceType` enumerations,
because reading them from botocore costs half a second; a test compares the two.
"""

import difflib
import functools
import json
import re
from pathlib import Path
from typing import Literal

Purpose = Literal["transform", "endpoint"]

TABLE = Path(__file__).with_name("instances.json")
_SHAPES = {"transform": "TransformInstanceType", "endpoint": "ProductionVariantInstanceType"}

#: Where a family is not taken: the family that comes closest in kind.
_KIN = {
    "c5d": "c5", "c6in": "c6i", "m5d": "m5", "r5": "r6i", "r5d": "r6i", "t2": "m5", "t3": "m5", "m5a": "m5",
    "c6g": "c6i", "c6gd": "c6i", "c6gn": "c6i", "c7g": "c7i", "c8g": "c7i", "m6g": "m6i", "m6gd": "m6i", "m7g": "m7i",
    "m8g": "m7i", "r6g": "r6i", "r6gd": "r6i", "r7gd": "r7i", "r8g": "r7i", "inf1": "inf2", "p4d": "p3", "p4de": "p3",
    "p5": "p3", "g7": "g6e", "g7e": "g6e", "trn1n": "trn1", "trn2": "trn1", "c3": "c5", "m3": "m5", "g4": "g4dn",
}  # fmt: skip


def legal(purpose: Purpose) -> tuple[str, ...]:
    """Return every instance type that SageMaker takes for transform jobs or for endpoints, sorted."""
    return tuple(_table()[purpose])


def nearest(instance_type: str, purpose: Purpose) -> str:
    """Return the legal type closest to an illegal one: same family and next size up, else the kindred family."""
    known = legal(purpose)
    name = instance_type.strip().lower().replace("_", ".")
    name = name if name.startswith("ml.") else f"ml.{name}"
    if name in known:
        return name
    family, _, size = name.removeprefix("ml.").partition(".")
    for candidate in (family, _KIN.get(family)):
        sizes = sorted((t for t in known if t.split(".")[1] == candidate), key=lambda t: _rank(t.split(".")[2]))
        if sizes and _rank(size) is None:
            return difflib.get_close_matches(name[:40], sizes, 1, 0)[0]
        if sizes:
            return next((t for t in sizes if _rank(t.split(".")[2]) >= _rank(size)), sizes[-1])
    close = difflib.get_close_matches(name[:40], known, 1)
    return close[0] if close else "ml.m5.large"


def _rank(size: str) -> int | None:
    """Return a size's order: medium, large, xlarge, 2xlarge and so on; None for what is no size."""
    small = {"nano": -5, "micro": -4, "small": -3, "medium": -2, "large": -1, "xlarge": 1}
    match = re.fullmatch("([0-9]{1,3})xlarge", size, re.ASCII)
    return int(match[1]) if match else small.get(size)


@functools.cache
def _table() -> dict[str, list[str]]:
    return json.loads(TABLE.read_text())


def from_botocore() -> dict[str, list[str]]:
    """Return the table as the installed botocore has it."""
    import botocore.session  # half a second, hence the committed table

    model = botocore.session.get_session().get_service_model("sagemaker")
    return {purpose: sorted(model.shape_for(shape).enum) for purpose, shape in _SHAPES.items()}


def refresh(path: Path = TABLE) -> None:
    """Rewrite the table from the installed botocore."""
    lines = [f' "{purpose}": {json.dumps(types)}' for purpose, types in from_botocore().items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    _table.cache_clear()
