"""The whole SageMaker of the local cloud, as the emulator holds it: calls, state in and out."""

from collections.abc import Callable, Iterable

from turnout.local.faults import Faults
from turnout.local.sagemaker.api import RUNNING, Api, Models, Tags, TransformJobs
from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.hosting.api import HostingApi
from turnout.local.sagemaker.hosting.endpoints import Endpoints, describe
from turnout.local.sagemaker.hosting.invocations import AsyncInvocations, Invocations, Response, Stream
from turnout.local.sagemaker.hosting.kinds import DESIRED_COUNT, Kind, kind_of
from turnout.local.sagemaker.hosting.requests import Request
from turnout.local.sagemaker.jobs import Jobs
from turnout.local.sagemaker.listing import Lists
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.registry import Registry
from turnout.local.sagemaker.search import Search
from turnout.local.sagemaker.store import RESOURCES, Store

STOPPED_MEANWHILE = "InternalServerError: the local cloud was stopped while the {} was {}."
#: What becomes of an endpoint that was in a state other than these when the cloud was stopped: it has failed.
REVIVED = ("InService", "Updating", "SystemUpdating", "RollingBack")


class SageMaker:
    """Control plane and data plane together.

    `scaled_variants(scope, endpoint)` and `deregister(scope, endpoint)` are Application Auto Scaling's side.
    """

    def __init__(
        self,
        cloud: Cloud,
        faults: Faults | None = None,
        scaled_variants: Callable[[Scope, str], Iterable[str]] = lambda scope, endpoint: (),
        deregister: Callable[[Scope, str], None] = lambda scope, endpoint: None,
    ) -> None:
        self.store = Store()
        self.faults = faults or Faults()
        self.jobs = Jobs(cloud, self.store)
        self.endpoints = Endpoints(cloud, self.store, self.faults)
        registry = Registry(cloud, self.store)
        models = Models(self.store, registry.containers)
        parts = (
            models,
            TransformJobs(self.store, models.runnable, self.jobs),
            HostingApi(cloud, self.store, self.endpoints, models.runnable, scaled_variants, deregister),
            registry,
            Lists(self.store),
            Search(self.store, self._described),
            Tags(self.store),
        )
        self._api = Api(cloud, parts)
        self._invocations = Invocations(cloud, self.endpoints)
        self._async_invocations = AsyncInvocations(self.endpoints)
        self._cloud = cloud

    def call(self, operation: str, request: dict, by_aws: bool = False) -> dict:
        """Answer one API operation for the current scope. Raises ApiError."""
        return self._api.call(operation, request, by_aws)

    def invoke(self, request: Request) -> Response:
        """Answer InvokeEndpoint. Raises ApiError."""
        return self._invocations.invoke(self._cloud.scope(), request)

    def invoke_stream(self, request: Request) -> Stream:
        """Answer InvokeEndpointWithResponseStream; the stream has to be closed. Raises ApiError."""
        return self._invocations.stream(self._cloud.scope(), request)

    def invoke_async(self, request: Request) -> tuple[bytes, dict[str, str]]:
        """Answer InvokeEndpointAsync with body and headers. Raises ApiError."""
        return self._async_invocations.invoke(self._cloud.scope(), request)

    def name_of(self, kind: str, arn: str) -> str | None:
        """Return the name behind an ARN (ARNs are in lower case), or None when it is gone."""
        record = self.store.find(kind, self._cloud.scope(), arn)
        return None if record is None else record[RESOURCES[kind].name]

    def wait_for_endpoint(self, name: str, seconds: float) -> dict | None:
        """Return an endpoint's description once nothing is under way; None when it is gone."""
        scope = self._cloud.scope()
        record = self.endpoints.wait(scope, name, seconds)
        return None if record is None else self._described(scope, record)

    def _described(self, scope: Scope, endpoint: dict) -> dict:
        return describe(endpoint, self.endpoints.find(scope, endpoint["EndpointName"]))

    def abandon_endpoint(self, name: str) -> None:
        """Delete an endpoint whatever its state: CloudFormation gave up on its creation."""
        scope = self._cloud.scope()
        if record := self.store.get("endpoints", scope, name):
            self.endpoints.delete(scope, record)

    # For Application Auto Scaling

    def capacity(self, scope: Scope, endpoint: str, variant: str, dimension: str) -> int:
        """Return a variant's desired capacity. Raises Invalid for one that does not exist or has none."""
        live = self.endpoints.find(scope, endpoint)
        found = live.fleet.variants.get(variant) if live and live.fleet else None
        count = None if found is None else found.capacity(dimension.rpartition(":")[2])
        if count is None:
            raise Invalid(f"No scalable variant {variant} of endpoint {endpoint} is in service.")
        return count

    def set_capacity(self, scope: Scope, endpoint: str, variant: str, dimension: str, count: int) -> None:
        """Ask for another capacity. Raises Invalid while the endpoint changes."""
        member = dimension.rpartition(":")[2]
        change = (
            {member: count}
            if member == DESIRED_COUNT
            else {"ServerlessUpdateConfig": {"ProvisionedConcurrency": count}}
        )
        with self._cloud.enter(scope):
            wanted = [{"VariantName": variant, **change}]
            request = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": wanted}
            self.call("UpdateEndpointWeightsAndCapacities", request)

    def is_async(self, scope: Scope, endpoint: str) -> bool:
        live = self.endpoints.find(scope, endpoint)
        return bool(live and live.fleet and kind_of(live.fleet.config) == Kind.ASYNC)

    def stop_all(self) -> None:
        """End every process."""
        self.jobs.stop_all()
        self.endpoints.stop_all()

    def reset(self) -> None:
        """Forget everything; what runs ends first."""
        self.stop_all()
        self.store.clear()

    def dump(self) -> dict:
        self.endpoints.remember_capacities()
        return self.store.dump()

    def load(self, state: dict) -> None:
        """Take saved state back. What was running when it was saved has Failed; endpoints in service start again."""
        for _, _, _, job in state.get("jobs", []):
            if job["TransformJobStatus"] in RUNNING:
                job["TransformJobStatus"] = "Failed"
                job["FailureReason"] = STOPPED_MEANWHILE.format("job", "running")
        for _, _, _, endpoint in state.get("endpoints", []):
            if endpoint["EndpointStatus"] not in REVIVED:
                endpoint["EndpointStatus"] = "Failed"
                endpoint.setdefault("FailureReason", STOPPED_MEANWHILE.format("endpoint", "being created"))
        self.store.load(state)
        for scope, endpoint in self.store.items("endpoints"):  # saved before endpoints kept their configuration
            config = self.store.get("endpoint_configs", scope, endpoint["EndpointConfigName"])
            endpoint.setdefault("_Config", config)
        self.endpoints.revive()
