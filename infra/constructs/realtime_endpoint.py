"""Instances that answer at once."""

from collections.abc import Mapping
from typing import Any

from constructs import Construct

from infra.constructs.endpoint import Endpoint
from infra.constructs.endpoint_alarms import error_alarms, latency_alarms, refusal_alarms
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.model import Model, telemetry
from infra.constructs.parts import Parts
from infra.constructs.permissions import allow
from infra.constructs.scaling import InstanceScaling
from turnout.config.capabilities import may_scale, realtime_instances
from turnout.config.specs import RealtimeSpec

#: SageMaker shifts requests to these all at once, whatever is asked (developer guide, "Exclusions").
NO_CANARY = ("ml.inf1.",)
#: Seconds that one new instance answers alone, that the old ones wait afterwards, and that all of it may take.
CANARY_SECONDS, BAKE_SECONDS, UPDATE_SECONDS = 300, 120, 3600


class RealtimeEndpoint(LiveEndpoint):
    """An endpoint on instances, with autoscaling where there is room for it."""

    family = "realtime"

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        spec = parts.spec.realtime
        least = realtime_instances(parts.spec, parts.stage)
        scaled = spec.max_instances > least and may_scale(spec.instance_type)
        guards = parts.alarms.add(error_alarms(self.name))
        parts.alarms.add([*latency_alarms(self.name), *refusal_alarms(stage=parts.stage.name, model=parts.spec.name)])
        model = Model(
            self.own,
            "Model",
            parts=parts,
            family=self.family,
            allowed=[
                *telemetry(f"/aws/sagemaker/Endpoints/{self.name}"),
                allow(["cloudwatch:DescribeAlarms"], [alarm.attr_arn for alarm in guards]),
            ],
            tags=self.tags,
        )
        endpoint = Endpoint(
            self.own,
            "Endpoint",
            name=self.name,
            model_name=model.name,
            variant={"instanceType": spec.instance_type, "initialInstanceCount": least},
            tags=self.tags,
            update={
                "deployment_config": _shifted(spec, least, [alarm.ref for alarm in guards]),
                # Otherwise each update would take the endpoint back to its first count, in the midst of its load. A
                # count that is set on purpose is scaling's lower bound, or, without scaling, what the update sets.
                "retain_all_variant_properties": scaled,
            },
        )
        if scaled:
            scaling = InstanceScaling(self.own, "Scaling", endpoint=endpoint, least=least, most=spec.max_instances)
            metric, value = _followed(spec)
            scaling.follow(
                "Load",
                metric={"PredefinedMetricSpecification": {"PredefinedMetricType": metric}},
                value=value,
                scale_in=spec.scale_in_cooldown,
                scale_out=spec.scale_out_cooldown,
            )
        self._offer(endpoint, "InvokeEndpoint")
        self._grow(spec.max_instances if scaled else least)
        self.outputs |= {"InstanceType": spec.instance_type, "InstanceCount": str(least)}


def _shifted(spec: RealtimeSpec, instances: int, alarm_names: list[str]) -> Mapping[str, Any] | None:
    """Return how an update moves requests: one instance first, back by itself when an alarm rings.

    A single instance can only be exchanged whole, which is what SageMaker does when nothing is said.
    """
    if instances == 1 or spec.instance_type.startswith(NO_CANARY):
        return None
    return {
        "blueGreenUpdatePolicy": {
            "trafficRoutingConfiguration": {
                "type": "CANARY",
                "canarySize": {"type": "INSTANCE_COUNT", "value": 1},
                "waitIntervalInSeconds": CANARY_SECONDS,
            },
            "terminationWaitInSeconds": BAKE_SECONDS,
            "maximumExecutionTimeoutInSeconds": UPDATE_SECONDS,
        },
        "autoRollbackConfiguration": {"alarms": [{"alarmName": name} for name in alarm_names]},
    }


def _followed(spec: RealtimeSpec) -> tuple[str, float]:
    """Return the metric that scaling follows and its value: requests in flight, unless the entry counts by minute."""
    if spec.invocations_per_instance is not None:
        return "SageMakerVariantInvocationsPerInstance", spec.invocations_per_instance
    return "SageMakerVariantConcurrentRequestsPerModelHighResolution", spec.concurrent_requests_per_model
