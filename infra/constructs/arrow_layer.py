"""The Lambda layer that brings pyarrow: AWS SDK for pandas, published by AWS in accounts of its own.

`arrow_layer.json` lists its ARN per region, with where and when the list was taken from.
`platform.arrow_layer_arn` in models.yaml replaces it.
"""

import json
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("arrow_layer.json")


class NoArrowLayer(ValueError):
    """AWS publishes no pyarrow layer in the region that was asked for."""


@cache
def arrow_layer_arns() -> dict[str, str]:
    """Return region -> ARN of the layer's version for our runtime and architecture."""
    return json.loads(TABLE.read_text())["arns"]


def arrow_layer_in(region: str) -> str:
    """Return the layer for one region. Raises NoArrowLayer."""
    if region not in arrow_layer_arns():
        raise NoArrowLayer(
            f"AWS publishes no pyarrow layer for Lambda in region {region}. "
            "Publish one and name it under platform.arrow_layer_arn in models.yaml."
        )
    return arrow_layer_arns()[region]
