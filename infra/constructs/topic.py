"""An SNS topic for messages of our own services: encrypted, and refused without TLS."""

from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.permissions import deny_plain_http, policy

#: The key that AWS manages for SNS is enough where roles of this account publish; only services as such may not use it.
KEY = "alias/aws/sns"


class Topic(Construct):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.arn = sns.CfnTopic(self, "Topic", kms_master_key_id=KEY).ref
        document = policy([deny_plain_http(self.arn, "sns:Publish")])
        sns.CfnTopicPolicy(self, "Policy", topics=[self.arn], policy_document=document)
