"""One Lambda function that runs one of `handlers/`, under a role and with an environment of its own.

Lambda's resources are written with their CloudFormation properties: `aws_cdk.aws_lambda` brings EC2's bindings
along, a fifth of a second at every synth, and its constructs take three times as long for each of the many
functions. What they would add (roles, policies, log groups, versions) is written out here anyway.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from aws_cdk import CfnResource, Stack
from constructs import Construct

from handlers.contract.env import Environment
from infra.constructs.file_asset import FileAsset
from infra.constructs.log_group import LogGroup
from infra.constructs.permissions import Statement, service_role

#: The newest runtime that aws-cdk-lib knows; cdk-nag (L1) insists on the newest.
RUNTIME = "python3.14"
#: A fifth cheaper per GB-second than x86_64; the handlers are pure Python and AWS publishes the pyarrow layer for both.
ARCHITECTURE = "arm64"


@dataclass(frozen=True)
class Size:
    """What a function is given: memory in MB (1,769 MB bring one vCPU) and its time limit in seconds."""

    memory_mb: int
    timeout_seconds: int


class HandlerFunction:
    """Adds a function whose handler is `handlers.<entry>.handler`, and its role, to a construct."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        entry: str,
        description: str,
        code: FileAsset,
        env: Environment,
        size: Size,
        statements: Sequence[Statement],
        logs: LogGroup,
        tags: Mapping[str, str],
        layers: Sequence[str] = (),
    ) -> None:
        """`tags` stand here too, because CDK's tagging passes by resources without a class of their own."""
        self._scope = scope
        role = service_role(scope, f"{id}Role", service="lambda.amazonaws.com", statements=[logs.write, *statements])
        self._properties = {
            "Description": description,
            "Runtime": RUNTIME,
            "Architectures": [ARCHITECTURE],
            "Handler": f"handlers.{entry}.handler",
            "Code": {"S3Bucket": code.bucket, "S3Key": code.key},
            "Environment": {"Variables": env.to_environ()},
            "MemorySize": size.memory_mb,
            "Timeout": size.timeout_seconds,
            "Role": role.attr_arn,
            "LoggingConfig": {"LogGroup": logs.name},
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        }
        if layers:
            self._properties["Layers"] = list(layers)
        self._function = CfnResource(scope, id, type="AWS::Lambda::Function", properties=self._properties)

    @cached_property
    def name(self) -> str:
        return self._function.ref

    @cached_property
    def arn(self) -> str:
        return self._function.get_att("Arn").to_string()

    def publish(self, alias: str) -> str:
        """Publish the function as it is now and return the ARN of an alias that points there.

        The version's logical id carries a digest of the function's properties, so a changed function
        makes a new version and an unchanged one makes none.
        """
        properties = json.dumps(Stack.of(self._scope).resolve(self._properties), sort_keys=True)
        digest = hashlib.sha256(properties.encode()).hexdigest()[:10]
        version = self._add(f"Version{digest}", "AWS::Lambda::Version", {})
        target = {"Name": alias, "FunctionVersion": version.get_att("Version")}
        return self._add("Alias", "AWS::Lambda::Alias", target).ref

    def _add(self, id: str, kind: str, properties: dict) -> CfnResource:
        return CfnResource(self._scope, id, type=kind, properties={"FunctionName": self.name, **properties})


def let_api_invoke(scope: Construct, id: str, *, function: str, source_arn: str) -> None:
    """Let the requests that `source_arn` stands for invoke a function or an alias, given by name or ARN."""
    properties = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": function,
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": source_arn,
    }
    CfnResource(scope, id, type="AWS::Lambda::Permission", properties=properties)
