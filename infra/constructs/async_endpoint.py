"""Instances that work through a queue and rest at none."""

from datetime import timedelta

from constructs import Construct

from handlers.contract import layout
from infra.constructs.alarms import add_alarm
from infra.constructs.endpoint import Endpoint
from infra.constructs.endpoint_alarms import NAMESPACE, queue_alarms, refusal_alarms, wake_alarm
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.model import Model, telemetry
from infra.constructs.parts import Parts
from infra.constructs.permissions import allow
from infra.constructs.request_permissions import accept_requests, answer_requests
from infra.constructs.scaling import InstanceScaling
from infra.constructs.topic import Topic
from turnout.config.capabilities import may_scale

#: Time after a scaling before more instances are added, and after the first was started before another is.
SCALE_OUT = timedelta(minutes=1)
WAKE = timedelta(minutes=5)


class AsyncEndpoint(LiveEndpoint):
    """An asynchronous endpoint with topics for what succeeded and what failed.

    The topics are not the endpoint's own: who listens to them listens to every model that comes.
    """

    family = "async"
    slow_milliseconds = 1_000  # the front door only takes requests in

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        spec = parts.spec.async_
        refused = refusal_alarms(stage=parts.stage.name, model=parts.spec.name)
        parts.alarms.add([*queue_alarms(self.name, expiry=spec.expiry), *refused])
        success, error = Topic(self, "Success"), Topic(self, "Error")
        model = Model(
            self.own,
            "Model",
            parts=parts,
            family=self.family,
            allowed=[
                *telemetry(f"/aws/sagemaker/Endpoints/{self.name}"),
                *answer_requests(parts),
                allow(["sns:Publish"], [success.arn, error.arn]),
            ],
            tags=self.tags,
        )
        bucket, model_name = parts.data.name, parts.spec.name
        endpoint = Endpoint(
            self.own,
            "Endpoint",
            name=self.name,
            model_name=model.name,
            # One, because AWS creates none with fewer; scaling takes it away when nobody asks.
            variant={"instanceType": spec.instance_type, "initialInstanceCount": 1},
            tags=self.tags,
            asynchronous={
                "clientConfig": {"maxConcurrentInvocationsPerInstance": spec.max_concurrent_per_instance},
                "outputConfig": {
                    "s3OutputPath": f"s3://{bucket}/{layout.async_output_prefix(model_name)}",
                    "s3FailurePath": f"s3://{bucket}/{layout.async_failure_prefix(model_name)}",
                    "notificationConfig": {"successTopic": success.arn, "errorTopic": error.arn},
                },
            },
            update={
                "retain_all_variant_properties": True,
                # An update begins with one instance, also where there was none: new limits are proved at once, and a
                # queue that had more instances waits for them instead of failing.
                "exclude_retained_variant_properties": [{"variantPropertyType": "DesiredInstanceCount"}],
            },
        )
        if may_scale(spec.instance_type):
            self._scale(parts, endpoint)
        self._offer(endpoint, "InvokeEndpointAsync", accept_requests(parts))
        self._grow(spec.max_instances if may_scale(spec.instance_type) else 1)
        self.outputs |= {"SuccessTopicArn": success.arn, "ErrorTopicArn": error.arn, "InstanceType": spec.instance_type}

    def _scale(self, parts: Parts, endpoint: Endpoint) -> None:
        """Follow the backlog, and leave zero by an alarm: a backlog per instance says nothing where there is none."""
        spec = parts.spec.async_
        scaling = InstanceScaling(self.own, "Scaling", endpoint=endpoint, least=0, most=spec.max_instances)
        backlog = {
            "Namespace": NAMESPACE,
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint.name}],
            "Statistic": "Average",
        }
        scaling.follow(
            "Backlog",
            metric={"CustomizedMetricSpecification": backlog},
            value=spec.backlog_per_instance,
            scale_in=spec.scale_in_cooldown,
            scale_out=SCALE_OUT,
        )
        start_one = scaling.step("Wake", add=1, cooldown=WAKE)
        add_alarm(scaling, wake_alarm(endpoint.name), subject=parts.spec.name, alarm_actions=[start_one])
