"""One Lambda function that runs one of `handlers/`, under a role and with an environment of its own."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
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
    """Adds a function whose handler is `handlers.<entry>.handler`, and its role, to a construct.

    Low-level (L1) resources on purpose: they take a third of the time of their L2 counterparts at synth,
    and fifty models have two hundred and fifty functions.
    """

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
        layers: Sequence[str] = (),
    ) -> None:
        self._scope, self._id = scope, id
        role = service_role(scope, f"{id}Role", service="lambda.amazonaws.com", statements=[logs.write, *statements])
        self._properties = {
            "description": description,
            "runtime": RUNTIME,
            "architectures": [ARCHITECTURE],
            "handler": f"handlers.{entry}.handler",
            "code": {"s3Bucket": code.bucket, "s3Key": code.key},
            "environment": {"variables": env.to_environ()},
            "memory_size": size.memory_mb,
            "timeout": size.timeout_seconds,
            "role": role.attr_arn,
            "logging_config": {"logGroup": logs.name},
            "layers": list(layers) or None,
        }
        self._function = lambda_.CfnFunction(scope, id, **self._properties)

    @cached_property
    def name(self) -> str:
        return self._function.ref

    @cached_property
    def arn(self) -> str:
        return self._function.attr_arn

    def publish(self, alias: str) -> str:
        """Publish the function as it is now and return the ARN of an alias that points there.

        The version's logical id carries a digest of the function's properties, so a changed function
        makes a new version and an unchanged one makes none.
        """
        properties = json.dumps(Stack.of(self._scope).resolve(self._properties), sort_keys=True)
        digest = hashlib.sha256(properties.encode()).hexdigest()[:10]
        version = lambda_.CfnVersion(self._scope, f"Version{digest}", function_name=self.name)
        target = version.attr_version
        return lambda_.CfnAlias(self._scope, "Alias", name=alias, function_name=self.name, function_version=target).ref
