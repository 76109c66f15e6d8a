"""The SageMaker model: a pinned artifact in a container image, under a role that reaches its own files only."""

from aws_cdk import CfnTag
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from handlers.contract.layout import work_root
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.container_image import ContainerImage
from infra.constructs.permissions import Statement, allow, own_account, put_metrics, service_role
from infra.constructs.pseudo import arn, s3_arn
from turnout.config.specs import ModelSpec

#: Where the container looks for the hooks. The code travels inside the archive, because a model in
#: network isolation can fetch nothing (aws/sagemaker-inference-toolkit, parameters.py).
CODE_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}


class Model(Construct):
    """An `AWS::SageMaker::Model` without a name of its own.

    Every property of the resource is create-only and a named one cannot be replaced, so each change makes a
    new model with a generated name and CloudFormation removes the old one afterwards.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        spec: ModelSpec,
        archive_uri: str,
        image: ContainerImage,
        data: BucketPlace,
        tags: dict[str, str],
    ) -> None:
        super().__init__(scope, id)
        role = service_role(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            statements=[
                allow(["s3:GetObject"], [s3_arn(archive_uri.removeprefix("s3://"))]),
                *image.pull,
                *_transform_files(data, spec.name),
                *_telemetry(),
            ],
            trust_condition=own_account(),
        )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.attr_arn,
            enable_network_isolation=True,
            primary_container={
                "image": image.uri,
                "modelDataUrl": archive_uri,
                "environment": {**CODE_ENVIRONMENT, **spec.environment},
            },
            tags=[CfnTag(key=key, value=value) for key, value in tags.items()],
        )
        self.name = model.attr_model_name


def _transform_files(data: BucketPlace, model: str) -> list[Statement]:
    """Batch Transform reads shards and writes its output under the role of the model."""
    work = work_root(model)
    return [data.enumerate(work), data.read(f"{work}*/shards/"), data.write(f"{work}*/transform/")]


def _telemetry() -> list[Statement]:
    """What SageMaker writes on the model's behalf: logs of transform jobs and metrics of their instances."""
    group = arn("logs", "log-group:/aws/sagemaker/TransformJobs")
    actions = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
    return [
        allow([f"logs:{action}" for action in actions], [group, f"{group}:*"]),
        put_metrics("AWS/SageMaker", "/aws/sagemaker/TransformJobs"),
    ]
