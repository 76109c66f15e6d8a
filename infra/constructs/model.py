"""The SageMaker model: a pinned artifact in a container image, under a role that reaches its own files only."""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnTag
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow, own_account, put_metrics, service_role
from infra.constructs.pseudo import arn, s3_arn
from turnout.config.capabilities import FamilyName
from turnout.config.containers import container_of


class Model(Construct):
    """An `AWS::SageMaker::Model` without a name of its own.

    Every property of the resource is create-only and a named one cannot be replaced, so each change makes a
    new model with a generated name and CloudFormation removes the old one afterwards. Each way of running a model
    has a resource and a role of its own, so that what one way needs neither burdens nor disturbs another.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        parts: Parts,
        family: FamilyName,
        allowed: Sequence[Statement],
        tags: Mapping[str, str],
    ) -> None:
        """`allowed` is what SageMaker does under the model's role beyond fetching archive and image."""
        super().__init__(scope, id)
        container = container_of(parts.spec, family)
        image = parts.published.image(container.instance_type)
        role = service_role(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            statements=[
                allow(["s3:GetObject"], [s3_arn(parts.archive_uri.removeprefix("s3://"))]),
                *image.pull,
                *allowed,
            ],
            trust_condition=own_account(),
        )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.attr_arn,
            enable_network_isolation=container.isolated,
            primary_container={
                "image": image.uri,
                "modelDataUrl": parts.archive_uri,
                "environment": container.environment(parts.spec),
            },
            tags=[CfnTag(key=key, value=value) for key, value in tags.items()],
        )
        self.name = model.attr_model_name


def telemetry(group: str) -> list[Statement]:
    """Allow what SageMaker writes on the model's behalf: a log group and metrics of the instances.

    `group` begins with the namespace of those metrics, such as `/aws/sagemaker/Endpoints/dev-churn-realtime-0a1b2c`.
    """
    place = arn("logs", f"log-group:{group}")
    actions = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
    return [
        allow([f"logs:{action}" for action in actions], [place, f"{place}:*"]),
        put_metrics("AWS/SageMaker", "/".join(group.split("/")[:4])),
    ]
