"""The container image of a model: its URI, and the permissions that the model's role needs to pull it."""

import re
from dataclasses import dataclass

from infra.constructs.permissions import Statement, allow
from infra.constructs.pseudo import partition, url_suffix
from infra.constructs.pseudo import region as deployed_region
from turnout.config.images import accounts, image_name, image_uri
from turnout.config.specs import ModelSpec

_ECR = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:@]+)")


@dataclass(frozen=True)
class ContainerImage:
    uri: str
    pull: tuple[Statement, ...]


def registries(spec: ModelSpec, instance_type: str) -> dict[str, str]:
    """Return region -> account of the registry that holds the model's image; empty for an image of the user's own."""
    return {} if spec.image else accounts(spec.framework, spec.framework_version, instance_type)


def image_in(spec: ModelSpec, region: str, instance_type: str) -> ContainerImage:
    """Return the image for one region, as a literal. Raises ImageError."""
    uri = spec.image or image_uri(spec.framework, spec.framework_version, region, instance_type)
    if not (place := _ECR.match(uri)):
        return ContainerImage(uri, ())  # not in ECR: pulled without permissions of ours
    return ContainerImage(uri, _pull(place["account"], place["region"], place["repository"]))


def image_anywhere(spec: ModelSpec, account: str, instance_type: str) -> ContainerImage:
    """Return the image for whichever region the stack is deployed to; `account` is the registry's in that region."""
    name = image_name(spec.framework, spec.framework_version, instance_type)
    uri = f"{account}.dkr.ecr.{deployed_region()}.{url_suffix()}/{name}"
    return ContainerImage(uri, _pull(account, deployed_region(), name.partition(":")[0]))


def _pull(account: str, where: str, repository: str) -> tuple[Statement, ...]:
    actions = ["BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"]
    place = f"arn:{partition()}:ecr:{where}:{account}:repository/{repository}"
    return (
        allow(["ecr:GetAuthorizationToken"], ["*"]),
        allow([f"ecr:{action}" for action in actions], [place]),
    )
