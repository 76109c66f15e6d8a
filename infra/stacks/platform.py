"""What all models of a stage share: data bucket, HTTP API, alarm topic, and an answer for unknown models."""

from aws_cdk import CfnOutput, Environment, Stack
from constructs import Construct

from handlers.contract.env import UnknownModelEnv
from handlers.contract.layout import stack_name
from infra.constructs.alarm_topic import AlarmTopic
from infra.constructs.alarms import Alarms, api_alarms
from infra.constructs.caller_policy import CallerPolicy
from infra.constructs.data_bucket import DataBucket
from infra.constructs.file_asset import FileAsset, StagedFile, Uploads
from infra.constructs.function import HandlerFunction, Size
from infra.constructs.http_api import HttpApi
from infra.constructs.log_group import LogGroup
from infra.stacks.tags import tag
from turnout.config.specs import PlatformSpec
from turnout.config.stages import Stage


class PlatformStack(Stack):
    """The same template whatever models there are, so that adding or removing one does not touch it."""

    def __init__(
        self, scope: Construct, *, spec: PlatformSpec, stage: Stage, handlers: StagedFile, env: Environment
    ) -> None:
        name = stack_name(stage.name, "platform")
        super().__init__(scope, name, description=f"Turnout {stage.name}: what all models share.", env=env)
        self.arrow_layer = spec.arrow_layer_arn
        self._own_tags = {"turnout:stage": stage.name}
        self.data = DataBucket(self, "Data", stage=stage).place
        self.alarm_topic = AlarmTopic(self, "AlarmTopic", email=spec.alarm_email).arn
        self.api = HttpApi(self, "HttpApi", name=name, stage=stage)
        self.api.add_default_route(self._unknown_model(stage, Uploads(self).add(handlers)))
        self.callers = CallerPolicy(self, "CallerPolicy", api=self.api).arn
        alarms = Alarms(self, "Alarms", subject="API", topic_arn=self.alarm_topic, stage=stage)
        alarms.add(api_alarms(api_id=self.api.id))
        self._publish_outputs()
        tag(self, self._own_tags)

    def _unknown_model(self, stage: Stage, code: FileAsset) -> HandlerFunction:
        return HandlerFunction(
            self,
            "UnknownModel",
            entry="unknown_model",
            description="Answers requests for models that do not exist.",
            code=code,
            env=UnknownModelEnv(stage=stage.name),
            size=Size(memory_mb=256, timeout_seconds=5),
            statements=[],
            logs=LogGroup(self, stage, "UnknownModelLogs"),
            tags=self._own_tags,
        )

    def _publish_outputs(self) -> None:
        """Add what people and the command line read, and export what models use, used or not.

        An export that came and went with its users could not be removed while the last user is still deployed.
        """
        for name, value in {
            "ApiUrl": self.api.url,
            "ApiId": self.api.id,
            "DataBucketName": self.data.name,
            "AlarmTopicArn": self.alarm_topic,
            "CallerPolicyArn": self.callers,
        }.items():
            CfnOutput(self, name, value=value)
        for value in (self.data.name, self.data.arn, self.api.id, self.alarm_topic):
            self.export_value(value)
