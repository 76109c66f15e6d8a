"""The container image of a model: a literal where the region is known, a CloudFormation mapping where it is not."""

import re

from aws_cdk import Aws, CfnMapping, Stack, Token
from constructs import Construct

from infra.constructs.permissions import Statement, allow
from turnout.config.images import accounts, image_name, image_uri
from turnout.config.specs import ModelSpec

_ECR = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:@]+)")
_AUTHORIZE = allow(["ecr:GetAuthorizationToken"], ["*"])


class ContainerImage(Construct):
    """`uri` for the SageMaker model and `pull`, the permissions that its role needs to fetch it."""

    def __init__(self, scope: Construct, id: str, *, spec: ModelSpec) -> None:
        super().__init__(scope, id)
        region = Stack.of(self).region
        if spec.image:
            self.uri, self.pull = spec.image, _pull_literal(spec.image)
        elif Token.is_unresolved(region):
            self.uri, self.pull = self._by_region(spec)
        else:
            self.uri = image_uri(spec.framework, spec.framework_version, region, spec.transform.instance_type)
            self.pull = _pull_literal(self.uri)

    def _by_region(self, spec: ModelSpec) -> tuple[str, list[Statement]]:
        """Return the image for whichever region the stack is deployed to; registries differ by region."""
        image = (spec.framework, spec.framework_version, spec.transform.instance_type)
        table = CfnMapping(self, "Registry", mapping={region: {"account": a} for region, a in accounts(*image).items()})
        account = table.find_in_map(Aws.REGION, "account")
        name = image_name(*image)
        uri = f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{name}"
        return uri, _pull(account, Aws.REGION, name.partition(":")[0])


def _pull_literal(uri: str) -> list[Statement]:
    """Return the permissions for an image in ECR; one from elsewhere needs none of ours."""
    if not (place := _ECR.match(uri)):
        return []
    return _pull(place["account"], place["region"], place["repository"])


def _pull(account: str, region: str, repository: str) -> list[Statement]:
    actions = ["BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"]
    place = f"arn:{Aws.PARTITION}:ecr:{region}:{account}:repository/{repository}"
    return [_AUTHORIZE, allow([f"ecr:{action}" for action in actions], [place])]
