"""Memory that answers when it is asked, and costs nothing when it is not."""

from constructs import Construct

from infra.constructs.endpoint import Endpoint, name_of
from infra.constructs.endpoint_alarms import concurrency_alarms, error_alarms, latency_alarms, refusal_alarms
from infra.constructs.live_endpoint import LiveEndpoint
from infra.constructs.model import Model, telemetry
from infra.constructs.parts import Parts

FAMILY = "serverless"
#: Serverless endpoints run on CPUs; any such type names the right image.
IMAGE_OF = "ml.m5.large"
#: SageMaker's advice for serverless endpoints: an environment takes one request at a time.
ENVIRONMENT = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}


class ServerlessEndpoint(LiveEndpoint):
    """A serverless endpoint. Its model is another resource: SageMaker offers no network isolation here."""

    slow_milliseconds = 10_000  # a cold start among a hundred is nothing to wake anybody for

    def __init__(self, scope: Construct, id: str, *, parts: Parts) -> None:
        super().__init__(scope, id)
        spec = parts.spec.serverless
        name = name_of(parts, FAMILY, FAMILY)
        parts.alarms.add([*error_alarms(name), *latency_alarms(name), *concurrency_alarms(name)])
        parts.alarms.add(refusal_alarms(stage=parts.stage.name, model=parts.spec.name))
        tags = {**parts.tags, "turnout:endpoint": FAMILY}
        model = Model(
            self,
            "Model",
            parts=parts,
            instance_type=IMAGE_OF,
            isolated=False,
            allowed=telemetry(f"/aws/sagemaker/Endpoints/{name}"),
            tags=tags,
            environment=ENVIRONMENT,
        )
        settings = {"memorySizeInMb": spec.memory_mb, "maxConcurrency": spec.max_concurrency}
        if spec.provisioned_concurrency is not None:
            settings["provisionedConcurrency"] = spec.provisioned_concurrency
        endpoint = Endpoint(
            self,
            "Endpoint",
            name=name,
            model_name=model.name,
            variant={"serverlessConfig": settings},
            tags=tags,
        )
        self._offer(endpoint, "InvokeEndpoint")
