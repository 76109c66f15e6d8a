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
from typing import Any

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
        published: bool = False,
    ) -> None:
        """`tags` stand here too, because CDK's tagging passes by resources without a class of their own.

        A function that is `published` has versions that go on answering while the stack is updated. Its role is a
        new one whenever it allows something else: a role that changed in place would take rights away from a version
        in the midst of a switch. A version keeps the role that it was published with, and CloudFormation deletes
        that after the alias has moved.
        """
        self._scope = scope
        statements = [logs.write, *statements]
        properties: dict[str, Any] = {
            "Description": description,
            "Runtime": RUNTIME,
            "Architectures": [ARCHITECTURE],
            "Handler": f"handlers.{entry}.handler",
            "Code": {"S3Bucket": code.bucket, "S3Key": code.key},
            "Environment": {"Variables": env.to_environ()},
            "MemorySize": size.memory_mb,
            "Timeout": size.timeout_seconds,
            "LoggingConfig": {"LogGroup": logs.name},
        }
        if layers:
            properties["Layers"] = list(layers)
        role_id = f"{id}Role"
        if published:
            allowed, described = Stack.of(scope).resolve([statements, properties])
            self.release = _digest([allowed, described])
            role_id += _digest(allowed)
        role = service_role(scope, role_id, service="lambda.amazonaws.com", statements=statements)
        properties["Role"] = role.attr_arn
        # Tags belong to the function, not to its versions: with nothing else changed, Lambda publishes none.
        properties["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        self._function = CfnResource(scope, id, type="AWS::Lambda::Function", properties=properties)

    @cached_property
    def name(self) -> str:
        return self._function.ref

    @cached_property
    def arn(self) -> str:
        return self._function.get_att("Arn").to_string()

    def wait_for(self, resource: CfnResource) -> None:
        """Leave the function as it is until `resource` is there."""
        self._function.add_resource_dependency(resource)

    def publish(self, alias: str, update_policy: Mapping[str, Any] | None = None) -> CfnResource:
        """Publish the function as it is now and return an alias that points there; its Ref is an ARN.

        The version's logical id carries a digest of the function's properties and rights, so a changed function
        makes a new version and an unchanged one makes none.
        """
        version = self._add(f"Version{self.release}", "AWS::Lambda::Version", {})
        target = {"Name": alias, "FunctionVersion": version.get_att("Version")}
        resource = self._add("Alias", "AWS::Lambda::Alias", target)
        if update_policy:
            resource.add_override("UpdatePolicy", update_policy)
        return resource

    def _add(self, id: str, kind: str, properties: dict) -> CfnResource:
        return CfnResource(self._scope, id, type=kind, properties={"FunctionName": self.name, **properties})


def _digest(resolved: Any) -> str:
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()[:10]


def let_api_invoke(scope: Construct, id: str, *, function: str, source_arn: str) -> None:
    """Let the requests that `source_arn` stands for invoke a function or an alias, given by name or ARN."""
    properties = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": function,
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": source_arn,
    }
    CfnResource(scope, id, type="AWS::Lambda::Permission", properties=properties)
