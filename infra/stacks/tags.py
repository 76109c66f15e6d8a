"""Tags on every resource of a stack that can carry them."""

from collections.abc import Mapping

from aws_cdk import Stack, Tags


def tag(stack: Stack, tags: Mapping[str, str]) -> None:
    """Tag the resources in the template, not the stack, so that every way of deploying it keeps them."""
    all_resources = Tags.of(stack)
    for key, value in tags.items():
        all_resources.add(key, value)
