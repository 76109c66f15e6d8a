"""What AWS publishes per region and a model needs: its container image and the pyarrow layer for its functions."""

from dataclasses import dataclass

from aws_cdk import Stack

from infra.constructs.arrow_layer import arrow_layer_arns, arrow_layer_in
from infra.constructs.container_image import ContainerImage, image_anywhere, image_in, registries
from infra.constructs.region_table import by_region
from turnout.config.specs import ModelSpec


@dataclass(frozen=True)
class PublishedByAws:
    image: ContainerImage
    arrow_layer: str


def published_in(region: str, spec: ModelSpec, own_layer: str | None) -> PublishedByAws:
    """Return literals for one region. Raises ImageError, NoArrowLayer."""
    return PublishedByAws(image_in(spec, region), own_layer or arrow_layer_in(region))


def published_anywhere(stack: Stack, spec: ModelSpec, own_layer: str | None) -> PublishedByAws:
    """Return values that CloudFormation looks up in the region that the stack is deployed to."""
    columns = {"Registry": registries(spec), "ArrowLayer": {} if own_layer else arrow_layer_arns()}
    found = by_region(stack, {column: values for column, values in columns.items() if values})
    image = image_anywhere(spec, found["Registry"]) if "Registry" in found else image_in(spec, region="")
    return PublishedByAws(image, own_layer or found["ArrowLayer"])
