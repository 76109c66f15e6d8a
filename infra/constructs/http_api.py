"""The HTTP API that all models share: access logs, throttling, and an answer for routes that no model claims."""

import json

from aws_cdk import aws_apigatewayv2 as apigateway
from constructs import Construct

from infra.constructs.function import HandlerFunction, let_api_invoke
from infra.constructs.log_group import LogGroup
from infra.constructs.pseudo import arn, region, url_suffix
from turnout.config.stages import Stage

#: Requests per second over all models, and how many may come at once; the account's own limit is ten times that.
RATE, BURST = 1000, 500

ACCESS_LOG = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "route": "$context.routeKey",
    "path": "$context.path",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "milliseconds": "$context.responseLatency",
    "caller": "$context.identity.caller",
    "error": "$context.error.message",
    "integrationError": "$context.integrationErrorMessage",
}


class HttpApi(Construct):
    """An HTTP API with one auto-deployed `$default` stage. CORS is off: callers are services that sign requests."""

    def __init__(self, scope: Construct, id: str, *, name: str, stage: Stage) -> None:
        super().__init__(scope, id)
        self.api = apigateway.CfnApi(self, "Api", name=name, protocol_type="HTTP")
        self.id = self.api.ref
        self.url = f"https://{self.id}.execute-api.{region()}.{url_suffix()}/"
        access_logs = LogGroup(self, stage, "AccessLogs")
        self.stage = apigateway.CfnStage(
            self,
            "Stage",
            api_id=self.id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings={"destinationArn": access_logs.arn, "format": json.dumps(ACCESS_LOG)},
            default_route_settings={"throttlingRateLimit": RATE, "throttlingBurstLimit": BURST},
        )

    def execution_arn(self, route: str) -> str:
        """Return the ARN that stands for requests to this API; `route` is `stage/method/path`."""
        return arn("execute-api", f"{self.id}/{route}")

    def add_default_route(self, handler: HandlerFunction) -> None:
        """Send everything that no model's route matches to `handler`. Signed requests only, as everywhere."""
        integration = apigateway.CfnIntegration(
            self,
            "DefaultIntegration",
            api_id=self.id,
            integration_type="AWS_PROXY",
            integration_uri=handler.arn,
            payload_format_version="2.0",
        )
        apigateway.CfnRoute(
            self,
            "DefaultRoute",
            api_id=self.id,
            route_key="$default",
            authorization_type="AWS_IAM",
            target=f"integrations/{integration.ref}",
        )
        let_api_invoke(self, "DefaultInvoke", function=handler.name, source_arn=self.execution_arn("*/$default"))
