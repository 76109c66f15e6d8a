"""One Lambda function that runs one of `handlers/`: its role, its log group with retention, its typed environment."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Stack, aws_lambda as lambda_
from constructs import Construct

from handlers.contract.env import Environment
from infra.constructs.handler_code import HandlerCode
from infra.constructs.log_group import log_group_for
from infra.constructs.permissions import Statement, allow, service_role
from turnout.config.stages import Stage

#: The newest runtime that aws-cdk-lib knows; cdk-nag (L1) insists on the newest.
RUNTIME = "python3.14"
#: A fifth cheaper than x86_64 per GB-second; the handlers are pure Python and the pyarrow layer is offered for both.
ARCHITECTURE = "arm64"


@dataclass(frozen=True)
class Size:
    """What a function is given: memory in MB (Lambda gives one vCPU per 1,769 MB) and its time limit in seconds."""

    memory_mb: int
    timeout_seconds: int


class HandlerFunction(Construct):
    """A function whose handler is `handlers.<entry>.handler`.

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
        code: HandlerCode,
        env: Environment,
        size: Size,
        statements: Sequence[Statement],
        stage: Stage,
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        self._code_hash = code.asset_hash
        self.log_group = log_group_for(self, stage)
        write_logs = allow(["logs:CreateLogStream", "logs:PutLogEvents"], [self.log_group.attr_arn])
        self.role = service_role(self, "Role", service="lambda.amazonaws.com", statements=[write_logs, *statements])
        self._properties = {
            "description": description,
            "runtime": RUNTIME,
            "architectures": [ARCHITECTURE],
            "handler": f"handlers.{entry}.handler",
            "code": code.location,
            "environment": {"variables": env.to_environ()},
            "memory_size": size.memory_mb,
            "timeout": size.timeout_seconds,
            "role": self.role.attr_arn,
            "logging_config": {"logFormat": "JSON", "logGroup": self.log_group.ref},
        }
        if layers:
            self._properties["layers"] = list(layers)
        self.function = lambda_.CfnFunction(self, "Function", **self._properties)
        self.name = self.function.ref
        self.arn = self.function.attr_arn

    def publish(self, alias: str) -> lambda_.CfnAlias:
        """Publish the function as it is now and return an alias that points there.

        The version's logical id carries a digest of the function's properties, so a changed function
        makes a new version and an unchanged one makes none.
        """
        properties = json.dumps(
            [self._code_hash, Stack.of(self).resolve(self._properties)], sort_keys=True, default=str
        )
        digest = hashlib.sha256(properties.encode()).hexdigest()[:10]
        version = lambda_.CfnVersion(self, f"Version{digest}", function_name=self.name)
        return lambda_.CfnAlias(
            self, "Alias", name=alias, function_name=self.name, function_version=version.attr_version
        )
