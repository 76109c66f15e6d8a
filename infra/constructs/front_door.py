"""The model's door: one function behind the model's routes of the platform's API, the same in every mode.

Its logical ids hold no word of the mode, so a switch updates the function in place: the URL, the alias and the
routes stay what they are.
"""

from collections.abc import Sequence

from aws_cdk import aws_apigatewayv2 as apigateway
from constructs import Construct

from handlers.contract.env import PredictEnv
from handlers.contract.predictions import ROUTE_DESCRIBE, ROUTE_LOOKUP, ROUTE_POLL, ROUTE_PREDICT, ROUTE_UPLOAD
from infra.constructs.alarms import front_door_alarms
from infra.constructs.function import HandlerFunction, Size, let_api_invoke
from infra.constructs.gate import Gate
from infra.constructs.http_api import HttpApi
from infra.constructs.log_group import LogGroup
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement
from infra.constructs.request_permissions import poll_requests
from infra.constructs.score_permissions import read_freshness
from infra.constructs.shift import update_policy

#: The API gives up after 30 seconds as well.
SIZE = Size(memory_mb=512, timeout_seconds=30)
#: Routes call this alias; a release moves it to another version.
LIVE = "live"
ROUTES = {
    "Predict": ROUTE_PREDICT,
    "Lookup": ROUTE_LOOKUP,
    "Describe": ROUTE_DESCRIBE,
    "Poll": ROUTE_POLL,
    "Upload": ROUTE_UPLOAD,
}


class FrontDoor(Construct):
    """`handlers.predict` behind an alias, integrated with the API. It changes only once the gate is passed."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        parts: Parts,
        env: PredictEnv,
        allowed: Sequence[Statement],
        slow_milliseconds: int,
        api: HttpApi,
        gate: Gate,
    ) -> None:
        super().__init__(scope, id)
        handler = HandlerFunction(
            self,
            "Handler",
            entry="predict",
            description=f"{parts.spec.name}: answers requests for predictions.",
            code=parts.code,
            env=env,
            size=SIZE,
            statements=[parts.card_file.read, read_freshness(parts.scores.arn), *poll_requests(parts), *allowed],
            logs=LogGroup(self, parts.stage),
            tags=parts.tags,
            published=True,
        )
        handler.wait_for(gate.passed)
        self.name = handler.name
        self.url = f"{api.url}models/{parts.spec.name}/predictions"
        names = {"stage": parts.stage.name, "model": parts.spec.name}
        parts.alarms.add(front_door_alarms(**names, function_name=self.name, slow_milliseconds=slow_milliseconds))
        shift = update_policy(
            self,
            shift=parts.spec.shift,
            function=self.name,
            alias=LIVE,
            judges=parts.alarms.judges,
            tags=parts.tags,
        )
        alias = handler.publish(LIVE, shift)
        gate.hold_back_cleanup(after=alias, release=handler.release)
        self._route(api, parts.spec.name, alias.ref)

    def _route(self, api: HttpApi, model: str, target: str) -> None:
        """Add the model's routes and let the API, on them only, call `target` (an alias ARN)."""
        integration = apigateway.CfnIntegration(
            self,
            "Integration",
            api_id=api.id,
            integration_type="AWS_PROXY",
            integration_uri=target,
            payload_format_version="2.0",
        )
        place = f"integrations/{integration.ref}"
        for id, route in ROUTES.items():
            apigateway.CfnRoute(
                self,
                id,
                api_id=api.id,
                route_key=route.replace("{model}", model),
                authorization_type="AWS_IAM",
                target=place,
            )
        let_api_invoke(self, "Invoke", function=target, source_arn=api.execution_arn(f"*/*/models/{model}*"))
