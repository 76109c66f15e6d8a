"""What AWS publishes per region and a model needs: its container images and the pyarrow layer for its functions.

Both are asked for when they are used: a mode without a pipeline deploys where AWS publishes no pyarrow layer.
"""

from functools import cached_property
from typing import Protocol

from aws_cdk import Stack

from infra.constructs.arrow_layer import arrow_layer_arns, arrow_layer_in
from infra.constructs.container_image import ContainerImage, image_anywhere, image_in, registries
from infra.constructs.region_table import by_region
from turnout.config.specs import ModelSpec


class PublishedByAws(Protocol):
    """`own_layer` of the classes below is the layer of the user's own that replaces AWS's."""

    @property
    def arrow_layer(self) -> str: ...

    def image(self, instance_type: str) -> ContainerImage:
        """Return the image that serves the model on an instance type: CPU, GPU and Graviton have their own."""


class PublishedIn:
    """Literals for one region. Raises ImageError, NoArrowLayer."""

    def __init__(self, region: str, spec: ModelSpec, own_layer: str | None) -> None:
        self._region, self._spec, self._own_layer = region, spec, own_layer

    @property
    def arrow_layer(self) -> str:
        return self._own_layer or arrow_layer_in(self._region)

    def image(self, instance_type: str) -> ContainerImage:
        return image_in(self._spec, self._region, instance_type)


class PublishedAnywhere:
    """Values that CloudFormation looks up in the region that the stack is deployed to."""

    def __init__(self, stack: Stack, spec: ModelSpec, own_layer: str | None) -> None:
        self._stack, self._spec, self._own_layer = stack, spec, own_layer

    @property
    def arrow_layer(self) -> str:
        return self._own_layer or self._table["ArrowLayer"]

    def image(self, instance_type: str) -> ContainerImage:
        registry = registries(self._spec, instance_type)
        if not registry:
            return image_in(self._spec, "", instance_type)
        column = next(name for name, accounts in self._registries.items() if accounts == registry)
        return image_anywhere(self._spec, self._table[column], instance_type)

    @cached_property
    def _registries(self) -> dict[str, dict[str, str]]:
        """Column of the region table -> region -> account, whatever the mode, so that a switch leaves it alone."""
        spec = self._spec
        kinds = (spec.transform.instance_type, spec.realtime.instance_type, spec.async_.instance_type)
        different: list[dict[str, str]] = []
        for found in (registries(spec, kind) for kind in kinds):
            if found and found not in different:
                different.append(found)
        return {f"Registry{number or ''}": found for number, found in enumerate(different)}

    @cached_property
    def _table(self) -> dict[str, str]:
        layers = {} if self._own_layer else {"ArrowLayer": arrow_layer_arns()}
        return by_region(self._stack, {**self._registries, **layers})
