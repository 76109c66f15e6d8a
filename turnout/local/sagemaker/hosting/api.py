"""Control plane of endpoints: configurations, endpoints, weights and capacities."""

import time
from collections.abc import Callable, Iterable

from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.hosting import deployment, kinds
from turnout.local.sagemaker.hosting.endpoints import Endpoints, Wanted, describe
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.store import Store

#: While one of these, an endpoint can be neither updated nor deleted.
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class HostingApi:
    """The operations. `scaled_variants(scope, endpoint)` names the variants registered as scalable targets."""

    def __init__(
        self,
        cloud: Cloud,
        store: Store,
        endpoints: Endpoints,
        model: Callable[[Scope, str], dict],
        scaled_variants: Callable[[Scope, str], Iterable[str]],
        deregister: Callable[[Scope, str], None],
    ) -> None:
        self.cloud, self.store, self.endpoints = cloud, store, endpoints
        self._model, self._scaled_variants, self._deregister = model, scaled_variants, deregister

    def operations(self) -> dict[str, Callable[[Scope, dict], dict]]:
        return {name: getattr(self, method) for name, method in OPERATIONS.items()}

    # Configurations

    def create_endpoint_config(self, scope: Scope, request: dict) -> dict:
        name = request["EndpointConfigName"]
        arn = scope.arn("endpoint-config", name)
        kinds.check_config(request, lambda model: self._model(scope, model))
        with self.store.lock:
            if self.store.find("endpoint_configs", scope, arn):
                raise Invalid(f'Cannot create already existing endpoint configuration "{arn}".')
            record = {k: v for k, v in request.items() if k != "Tags"}
            for variant in record["ProductionVariants"]:
                variant.setdefault("InitialVariantWeight", 1.0)
            record.update(EndpointConfigArn=arn, CreationTime=time.time())
            self.store.put("endpoint_configs", scope, name, record)
            self.store.tag(scope, arn, request.get("Tags"))
        return {"EndpointConfigArn": arn}

    def describe_endpoint_config(self, scope: Scope, request: dict) -> dict:
        return self._config(scope, request["EndpointConfigName"])

    def delete_endpoint_config(self, scope: Scope, request: dict) -> dict:
        """Delete it, in use or not, as AWS does: an endpoint keeps a copy of its own (`_Config`)."""
        record = self._config(scope, request["EndpointConfigName"])
        self.store.remove("endpoint_configs", scope, record["EndpointConfigName"])
        return {}

    def _config(self, scope: Scope, name: str) -> dict:
        record = self.store.get("endpoint_configs", scope, name)
        if record is None:
            raise Invalid(f'Could not find endpoint configuration "{scope.arn("endpoint-config", name)}".')
        return record

    # Endpoints

    def create_endpoint(self, scope: Scope, request: dict) -> dict:
        name = request["EndpointName"]
        arn = scope.arn("endpoint", name)
        config = self._config(scope, request["EndpointConfigName"])
        with self.store.lock:
            if self._find(scope, name):
                raise Invalid(f'Cannot create already existing endpoint "{arn}".')
            now = time.time()
            record = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": config["EndpointConfigName"],
                "_Config": config,
                "EndpointStatus": "Creating",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            self.store.put("endpoints", scope, name, record)
        self.store.tag(scope, arn, request.get("Tags"))
        counts = {v["VariantName"]: v.get("InitialInstanceCount", 0) for v in config["ProductionVariants"]}
        self.endpoints.create(scope, record, config, counts)
        return {"EndpointArn": arn}

    def describe_endpoint(self, scope: Scope, request: dict) -> dict:
        record = self._endpoint(scope, request["EndpointName"])
        return describe(record, self.endpoints.find(scope, record["EndpointName"]))

    def update_endpoint(self, scope: Scope, request: dict) -> dict:
        record = self._endpoint(scope, request["EndpointName"])
        new = self._config(scope, request["EndpointConfigName"])
        name, arn = record["EndpointName"], record["EndpointArn"]
        with self.store.lock:
            self._check_at_rest(record)
            if record["EndpointStatus"] != "InService":
                raise Invalid(
                    f'Cannot update endpoint "{arn}" in status {record["EndpointStatus"]}; it can only be deleted.'
                )
            old = record["_Config"]
            kinds.check_update(name, old, new, self._scaled_variants(scope, name))
            counts, weights = kinds.retained(
                self.describe_endpoint(scope, request)["ProductionVariants"],
                new,
                request.get("RetainAllVariantProperties", False),
                [p["VariantPropertyType"] for p in request.get("ExcludeRetainedVariantProperties", [])],
            )
            how = request.get("DeploymentConfig") or {}
            if request.get("RetainDeploymentConfig"):
                how = record.get("LastDeploymentConfig") or how
            deployment.check(how, old, new)
            self.endpoints.update(scope, record, new, counts, weights, how)
        return {"EndpointArn": arn}

    def update_endpoint_weights_and_capacities(self, scope: Scope, request: dict) -> dict:
        record = self._endpoint(scope, request["EndpointName"])
        wanted = {each["VariantName"]: Wanted.of(each) for each in request["DesiredWeightsAndCapacities"]}
        with self.store.lock:
            self._check_at_rest(record)
            config = record["_Config"]
            for name, change in wanted.items():
                if kinds.variant_named(config, name) is None:
                    raise Invalid(f'Could not find variant "{name}" of endpoint "{record["EndpointArn"]}".')
                kinds.check_capacity(config, name, change.count, change.serverless)
            self.endpoints.set_capacity(scope, record, wanted)
        return {"EndpointArn": record["EndpointArn"]}

    def delete_endpoint(self, scope: Scope, request: dict) -> dict:
        record = self._endpoint(scope, request["EndpointName"])
        with self.store.lock:
            self._check_at_rest(record)
            self.endpoints.delete(scope, record)
        self._deregister(scope, record["EndpointName"])
        return {}

    def _find(self, scope: Scope, name: str) -> dict | None:
        """Return an endpoint's record; names differ in more than case."""
        records = self.store.all("endpoints", scope)
        return next((r for r in records if r["EndpointName"].lower() == name.lower()), None)

    def _endpoint(self, scope: Scope, name: str) -> dict:
        record = self._find(scope, name)
        if record is None:
            raise Invalid(f'Could not find endpoint "{scope.arn("endpoint", name)}".')
        return record

    @staticmethod
    def _check_at_rest(record: dict) -> None:
        if record["EndpointStatus"] in IN_PROGRESS:
            raise Invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')


#: Operation -> method of HostingApi.
OPERATIONS = {
    "CreateEndpointConfig": "create_endpoint_config",
    "DescribeEndpointConfig": "describe_endpoint_config",
    "DeleteEndpointConfig": "delete_endpoint_config",
    "CreateEndpoint": "create_endpoint",
    "DescribeEndpoint": "describe_endpoint",
    "UpdateEndpoint": "update_endpoint",
    "UpdateEndpointWeightsAndCapacities": "update_endpoint_weights_and_capacities",
    "DeleteEndpoint": "delete_endpoint",
}
