"""The permission that applications share: to call the front door of any model, and nothing else."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.http_api import HttpApi


class CallerPolicy(Construct):
    """A managed policy to attach to the roles of callers; `arn` names it."""

    def __init__(self, scope: Construct, id: str, *, api: HttpApi) -> None:
        super().__init__(scope, id)
        statement = {
            "Effect": "Allow",
            "Action": "execute-api:Invoke",
            "Resource": api.execution_arn("*/*/models/*"),
        }
        policy = iam.CfnManagedPolicy(
            self,
            "Policy",
            description="Call the predictions of every model behind this API.",
            policy_document={"Version": "2012-10-17", "Statement": [statement]},
        )
        self.arn = policy.ref
