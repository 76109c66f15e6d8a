"""Facts that differ by region, as one CloudFormation mapping for stacks that may be deployed to any."""

from collections.abc import Mapping

from aws_cdk import CfnMapping, Stack

from infra.constructs.pseudo import region


def by_region(stack: Stack, columns: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return, for each column (name -> region -> value), a value that CloudFormation looks up when it deploys.

    Only regions that every column knows are listed: in any other, the deployment fails before it makes anything.
    """
    if not columns:
        return {}
    regions = sorted(set.intersection(*(set(column) for column in columns.values())))
    rows = {name: {column: values[name] for column, values in columns.items()} for name in regions}
    table = CfnMapping(stack, "ByRegion", mapping=rows)
    return {column: table.find_in_map(region(), column) for column in columns}
