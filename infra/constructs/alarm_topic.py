"""Where alarms go: an SNS topic that CloudWatch may publish to, encrypted, over TLS."""

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.permissions import allow, deny_plain_http, own_account, policy
from infra.constructs.pseudo import account, partition


class AlarmTopic(Construct):
    """The topic has a key of its own, because CloudWatch cannot publish under the key that AWS manages for SNS."""

    def __init__(self, scope: Construct, id: str, *, email: str | None) -> None:
        super().__init__(scope, id)
        key = kms.CfnKey(
            self,
            "Key",
            description="Encrypts Turnout's alarm messages.",
            enable_key_rotation=True,
            pending_window_in_days=7,
            key_policy=policy([_administered_by_the_account(), _used_by_cloudwatch()]),
        )
        self.topic = sns.CfnTopic(self, "Topic", kms_master_key_id=key.ref)
        self.arn = self.topic.ref
        sns.CfnTopicPolicy(
            self,
            "Policy",
            topics=[self.arn],
            policy_document=policy([deny_plain_http(self.arn, "sns:Publish"), self._published_by_cloudwatch()]),
        )
        if email:
            sns.CfnSubscription(self, "Email", topic_arn=self.arn, protocol="email", endpoint=email)

    def _published_by_cloudwatch(self) -> dict:
        publish = allow(["sns:Publish"], [self.arn], own_account())
        return {**publish, "Principal": {"Service": "cloudwatch.amazonaws.com"}}


def _administered_by_the_account() -> dict:
    """IAM decides who may administer the key; without this statement nobody could, not even the account's owner."""
    root = f"arn:{partition()}:iam::{account()}:root"
    return {**allow(["kms:*"], ["*"]), "Principal": {"AWS": root}}


def _used_by_cloudwatch() -> dict:
    use = allow(["kms:Decrypt", "kms:GenerateDataKey*"], ["*"], own_account())
    return {**use, "Principal": {"Service": "cloudwatch.amazonaws.com"}}
