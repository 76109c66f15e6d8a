"""What SageMaker starts for a model, one line per way of running it, and what makes an endpoint another endpoint.

Whatever of a container changes makes another SageMaker model. An endpoint that took another model in an update would
have clients meet it before it has proved itself, so that a change of the model makes another endpoint instead:
`identity_of` goes into its name and into the logical ids of all that belongs to it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from handlers.contract.layout import endpoint_name
from handlers.contract.payloads import MAX_UPLOAD_BYTES
from turnout.config import images
from turnout.config.capabilities import FamilyName
from turnout.config.specs import AsyncSpec, ModelSpec

#: Where the container looks for the hooks. The code travels inside the archive, because a model in
#: network isolation can fetch nothing (aws/sagemaker-inference-toolkit, parameters.py).
CODE_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
#: SageMaker's advice for serverless endpoints: an environment takes one request at a time.
ONE_AT_A_TIME = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
#: What AWS's containers of TorchServe and of multi-model-server take and answer, which would stop at 6.5 MB (SageMaker
#: developer guide, "Create an asynchronous inference endpoint").
SIZE_LIMITS = {
    f"{server}_MAX_{body}_SIZE": str(MAX_UPLOAD_BYTES) for server in ("MMS", "TS") for body in ("REQUEST", "RESPONSE")
}
#: Serverless endpoints run on CPUs; any such type names the right image.
ANY_CPU = "ml.m5.large"


@dataclass(frozen=True)
class Container:
    """One way of running a model. `instance_type` names the image; `capacity` is what it runs on, in words."""

    instance_type: str
    isolated: bool
    capacity: str
    defaults: dict[str, str] = field(default_factory=dict)  # of the environment; the user's own settings replace them

    def environment(self, spec: ModelSpec) -> dict[str, str]:
        return {**CODE_ENVIRONMENT, **self.defaults, **spec.environment}


def _transform(spec: ModelSpec) -> Container:
    kind = spec.transform.instance_type
    return Container(kind, spec.network_isolation, kind)


def _realtime(spec: ModelSpec) -> Container:
    kind = spec.realtime.instance_type
    return Container(kind, spec.network_isolation, kind)


def _serverless(spec: ModelSpec) -> Container:
    """SageMaker offers no network isolation here. Another memory is another environment, in which a model may fail."""
    return Container(ANY_CPU, False, f"{spec.serverless.memory_mb} MB", ONE_AT_A_TIME)


def _async(spec: ModelSpec) -> Container:
    kind = spec.async_.instance_type
    return Container(kind, spec.network_isolation, kind, {**_time_limit(spec.async_), **SIZE_LIMITS})


def _time_limit(spec: AsyncSpec) -> dict[str, str]:
    """Return the container's own limit, under both names that its toolkits know; they would stop after a minute."""
    seconds = str(int(spec.invocation_timeout.total_seconds()))
    return {"SAGEMAKER_MODEL_SERVER_TIMEOUT": seconds, "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": seconds}


#: One line per family.
CONTAINERS: dict[FamilyName, Callable[[ModelSpec], Container]] = {
    "transform": _transform,
    "realtime": _realtime,
    "serverless": _serverless,
    "async": _async,
}


def container_of(spec: ModelSpec, family: FamilyName) -> Container:
    """Return how a family runs the model of an entry."""
    return CONTAINERS[family](spec)


def identity_of(spec: ModelSpec, family: FamilyName, model_version: str) -> str:
    """Return six hex digits that change with whatever must be proved before clients meet it: the model, and what it
    runs on. Counts of instances and of requests leave them as they are. Raises ImageError.
    """
    container = container_of(spec, family)
    image = spec.image or images.image_name(spec.framework, spec.framework_version, container.instance_type)
    said = {**asdict(container), "environment": container.environment(spec), "image": image, "version": model_version}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:6]


def endpoint_of_model(spec: ModelSpec, stage: str, family: FamilyName, model_version: str) -> str:
    """Return the name of the endpoint that an entry's model has in a stage. Raises ImageError."""
    return endpoint_name(stage, spec.name, family, identity_of(spec, family, model_version))
