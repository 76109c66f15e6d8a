"""Memory that answers when it is asked, and costs nothing when it is not."""

from constructs import Construct

from infra.constructs.endpoint import Endpoint
from infra.constructs.endpoint_alarms import concurrency_alarms, error_alarms, latency_alarms, refusal_alarms
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.model import Model, telemetry
from infra.constructs.parts import Parts


class ServerlessEndpoint(LiveEndpoint):
    """A serverless endpoint. Its model is another resource: SageMaker offers no network isolation here."""

    family = "serverless"
    slow_milliseconds = 10_000  # a cold start among a hundred is nothing to wake anybody for

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id, parts=parts)
        spec, name = parts.spec.serverless, self.name
        parts.alarms.add([*error_alarms(name), *latency_alarms(name), *concurrency_alarms(name)])
        parts.alarms.add(refusal_alarms(stage=parts.stage.name, model=parts.spec.name))
        model = Model(
            self.own,
            "Model",
            parts=parts,
            family=self.family,
            allowed=telemetry(f"/aws/sagemaker/Endpoints/{name}"),
            tags=self.tags,
        )
        settings = {"memorySizeInMb": spec.memory_mb, "maxConcurrency": spec.max_concurrency}
        self.outputs["MemoryMb"] = str(spec.memory_mb)
        if spec.provisioned_concurrency is not None:
            settings["provisionedConcurrency"] = spec.provisioned_concurrency
            self.outputs["ProvisionedConcurrency"] = str(spec.provisioned_concurrency)
        endpoint = Endpoint(
            self.own,
            "Endpoint",
            name=name,
            model_name=model.name,
            variant={"serverlessConfig": settings},
            tags=self.tags,
        )
        self._offer(endpoint, "InvokeEndpoint")
