"""Autoscaling of an endpoint's instances: bounds, and policies that follow a metric.

Application Auto Scaling is written with its CloudFormation properties; it has no tags that CDK would have to add.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aws_cdk import CfnResource
from constructs import Construct

from infra.constructs.endpoint import VARIANT, Endpoint


class InstanceScaling(Construct):
    """The variant's instances between two bounds. Without policies nothing moves."""

    def __init__(self, scope: Construct, id: str, *, endpoint: Endpoint, least: int, most: int) -> None:
        super().__init__(scope, id)
        self._endpoint_name = endpoint.name
        target = CfnResource(
            self,
            "Target",
            type="AWS::ApplicationAutoScaling::ScalableTarget",
            properties={
                "ServiceNamespace": "sagemaker",
                "ResourceId": f"endpoint/{endpoint.name}/variant/{VARIANT}",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                "MinCapacity": least,
                "MaxCapacity": most,
            },
        )
        target.add_resource_dependency(endpoint.resource)
        self._target = target.ref

    def follow(
        self, id: str, *, metric: Mapping[str, Any], value: float, scale_in: timedelta, scale_out: timedelta
    ) -> None:
        """Keep a metric near a value. `metric` names a predefined or a customised one in the service's own words."""
        settings = {
            **metric,
            "TargetValue": value,
            "ScaleInCooldown": int(scale_in.total_seconds()),
            "ScaleOutCooldown": int(scale_out.total_seconds()),
        }
        self._policy(id, "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration", settings)

    def step(self, id: str, *, add: int, cooldown: timedelta) -> str:
        """Return the ARN of a policy that adds instances each time an alarm calls it."""
        settings = {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": int(cooldown.total_seconds()),
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": add}],
        }
        return self._policy(id, "StepScaling", "StepScalingPolicyConfiguration", settings).ref

    def _policy(self, id: str, kind: str, key: str, settings: dict[str, Any]) -> CfnResource:
        properties = {
            # Create-only like the target, so that a new endpoint's policy is never the old one's namesake.
            "PolicyName": f"{self._endpoint_name}-{id.lower()}",
            "PolicyType": kind,
            "ScalingTargetId": self._target,
            key: settings,
        }
        return CfnResource(self, id, type="AWS::ApplicationAutoScaling::ScalingPolicy", properties=properties)
