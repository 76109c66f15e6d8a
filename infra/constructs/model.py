"""The SageMaker model: a pinned artifact in a container image, under a role that reaches its own files only."""

from aws_cdk import Aws, CfnTag, aws_s3_assets as assets, aws_sagemaker as sagemaker
from constructs import Construct

from handlers.contract.layout import work_root
from infra.constructs.bucket_place import BucketPlace
from infra.constructs.container_image import ContainerImage
from infra.constructs.model_artifact import Artifact
from infra.constructs.permissions import Statement, allow, arn, own_account, service_role
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
        artifact: Artifact,
        image: ContainerImage,
        data: BucketPlace,
        tags: dict[str, str],
    ) -> None:
        super().__init__(scope, id)
        self.version = artifact.version
        url, artifact_arn = self._place(artifact)
        role = service_role(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            statements=[
                allow(["s3:GetObject"], [artifact_arn]),
                *image.pull,
                *_transform_files(data, spec.name),
                *_telemetry(),
            ],
            trust_condition=own_account(),
        )
        self.resource = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.attr_arn,
            enable_network_isolation=True,
            primary_container={
                "image": image.uri,
                "modelDataUrl": url,
                "environment": {**CODE_ENVIRONMENT, **spec.environment},
            },
            tags=[CfnTag(key=key, value=value) for key, value in tags.items()],
        )
        self.name = self.resource.attr_model_name

    def _place(self, artifact: Artifact) -> tuple[str, str]:
        """Return URL and ARN of the archive, uploading it when it is a local file."""
        if artifact.uri:
            return artifact.uri, f"arn:{Aws.PARTITION}:s3:::{artifact.uri.removeprefix('s3://')}"
        asset = assets.Asset(self, "Artifact", path=str(artifact.path))
        place = f"{asset.s3_bucket_name}/{asset.s3_object_key}"
        return f"s3://{place}", f"arn:{Aws.PARTITION}:s3:::{place}"


def _transform_files(data: BucketPlace, model: str) -> list[Statement]:
    """Batch Transform reads shards and writes its output under the role of the model."""
    work = work_root(model)
    return [data.enumerate(work), data.read(work), data.write(work)]


def _telemetry() -> list[Statement]:
    """What SageMaker writes on the model's behalf: logs of transform jobs and instance metrics."""
    groups = arn("logs", "log-group:/aws/sagemaker/TransformJobs")
    actions = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
    namespaces = ["AWS/SageMaker", "/aws/sagemaker/TransformJobs"]
    return [
        allow([f"logs:{action}" for action in actions], [groups, f"{groups}:*"]),
        allow(["cloudwatch:PutMetricData"], ["*"], {"StringEquals": {"cloudwatch:namespace": namespaces}}),
    ]
