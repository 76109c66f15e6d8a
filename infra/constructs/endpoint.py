"""One SageMaker endpoint with one variant: its configuration, its name, and how it is updated."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import CfnTag
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.constructs.permissions import Statement, allow
from infra.constructs.pseudo import arn

#: The variant's name never changes: SageMaker keeps capacity and shifts requests only between equal names.
VARIANT = "AllTraffic"


class Endpoint(Construct):
    """A configuration with a generated name, and an endpoint that is updated to it.

    Every property of a configuration is create-only, so each change makes a new one; the endpoint keeps its name and
    CloudFormation removes the old configuration afterwards. Counts and limits change so, never the model.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        model_name: str,
        variant: Mapping[str, Any],
        tags: Mapping[str, str],
        asynchronous: Mapping[str, Any] | None = None,
        update: Mapping[str, Any] | None = None,
    ) -> None:
        """`variant`, `asynchronous` and `update` are properties of ProductionVariant, EndpointConfig's
        AsyncInferenceConfig and Endpoint that the family decides.
        """
        super().__init__(scope, id)
        cfn_tags = [CfnTag(key=key, value=value) for key, value in tags.items()]
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[
                {"variantName": VARIANT, "modelName": model_name, "initialVariantWeight": 1, **variant},
            ],
            async_inference_config=asynchronous,
            tags=cfn_tags,
        )
        self.name, self.config_name = name, config.attr_endpoint_config_name
        self.resource = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            endpoint_config_name=self.config_name,
            tags=cfn_tags,
            **(update or {}),
        )


def on_endpoint(name: str, *actions: str) -> Statement:
    """Allow actions of SageMaker on one endpoint, which IAM knows by its name in lower case."""
    return allow([f"sagemaker:{action}" for action in actions], [arn("sagemaker", f"endpoint/{name.lower()}")])


def on_namesakes(name: str, *actions: str) -> Statement:
    """Allow actions on the endpoints that have the same name but for their last part, whatever model they hold."""
    kin, _, identity = name.lower().rpartition("-")
    anyone = arn("sagemaker", f"endpoint/{kin}-{'?' * len(identity)}")
    return allow([f"sagemaker:{action}" for action in actions], [anyone])
