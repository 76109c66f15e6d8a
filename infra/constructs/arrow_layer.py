"""The Lambda layer that brings pyarrow: AWS SDK for pandas, published by AWS in its own accounts.

`arrow_layer.json` lists its ARN per region, with where and when the list was taken from.
`platform.arrow_layer_arn` in models.yaml replaces it.
"""

import json
from pathlib import Path

from aws_cdk import Aws, CfnMapping, Stack, Token

TABLE = Path(__file__).with_name("arrow_layer.json")


class NoArrowLayer(ValueError):
    """AWS publishes no pyarrow layer in the region that was asked for."""


def arrow_layer_arns() -> dict[str, str]:
    """Return region -> ARN of the layer version for this release's runtime and architecture."""
    return json.loads(TABLE.read_text())["arns"]


def arrow_layer_arn(stack: Stack, chosen: str | None) -> str:
    """Return the layer's ARN for a stack: what the user chose, else the region's own. Raises NoArrowLayer."""
    if chosen:
        return chosen
    arns = arrow_layer_arns()
    if Token.is_unresolved(stack.region):
        table = CfnMapping(stack, "ArrowLayer", mapping={region: {"arn": arn} for region, arn in arns.items()})
        return table.find_in_map(Aws.REGION, "arn")
    if stack.region not in arns:
        raise NoArrowLayer(
            f"AWS publishes no pyarrow layer for Lambda in region {stack.region}. "
            "Publish one and name it under platform.arrow_layer_arn in models.yaml."
        )
    return arns[stack.region]
