"""What SageMaker can do where: the one table of the ways to run a model, and the one table of limits.

`FAMILIES` says what each way offers, `ENDPOINT` and `SCORES_IN_BATCH` say which ways a mode uses, `LIMITS` bounds the
settings. Rules (`legality`), types (`specs`), the plan and docs/modes.md read them; a test compares them with
botocore's service models and with the CloudFormation schemas, so that a change at AWS is seen here first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from handlers.contract.modes import ServingMode
from handlers.contract.payloads import FAMILY_BYTES

if TYPE_CHECKING:
    from turnout.config.specs import ModelSpec
    from turnout.config.stages import Stage

_API = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/"
_GUIDE = "https://docs.aws.amazon.com/sagemaker/latest/dg/"
ASYNC_CONFIG = f"{_API}API_AsyncInferenceClientConfig.html"
ASYNC_SCALING = f"{_GUIDE}async-inference-autoscale.html"
ASYNC_INFERENCE = f"{_GUIDE}async-inference.html"
BATCH_TRANSFORM = f"{_GUIDE}batch-transform.html"
CLIENT_CONFIG = f"{_API}API_ModelClientConfig.html"
DEPLOY_OPTIONS = f"{_GUIDE}deploy-model-options.html"
ENDPOINT_SCALING = f"{_GUIDE}endpoint-auto-scaling-prerequisites.html"
ENDPOINT_UPDATE = f"{_GUIDE}deployment-guardrails-blue-green.html"
EVENT_SOURCE = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
INVOKE_ASYNC = f"{_API}API_runtime_InvokeEndpointAsync.html"
PRODUCTION_VARIANT = f"{_API}API_ProductionVariant.html"
SERVERLESS = f"{_GUIDE}serverless-endpoints.html"
SERVERLESS_CONFIG = f"{_API}API_ProductionVariantServerlessConfig.html"
TRANSFORM_JOB = f"{_API}API_CreateTransformJob.html"
TRANSFORM_RESOURCES = f"{_API}API_TransformResources.html"

FamilyName = Literal["transform", "realtime", "serverless", "async"]


@dataclass(frozen=True)
class Family:
    """One way in which SageMaker runs a model. Two ways never share an endpoint: AWS converts none into another."""

    what: str
    instances: Literal["transform", "endpoint"] | None  # whose list of instance types counts; None: there are none
    section: str  # where the entry's settings for it stand
    gpu: bool
    graviton: bool
    network_isolation: bool
    least_instances: int | None  # how far scaling may go down; None: not counted in instances
    max_body_bytes: int  # of one request
    max_seconds: int  # that one request may take
    link: str


FAMILIES: dict[FamilyName, Family] = {
    "transform": Family(
        "batch transform", "transform", "transform", gpu=True, graviton=False, network_isolation=True,
        least_instances=0, max_body_bytes=FAMILY_BYTES["transform"], max_seconds=3600, link=BATCH_TRANSFORM,
    ),
    "realtime": Family(
        "an instance endpoint", "endpoint", "realtime", gpu=True, graviton=True, network_isolation=True,
        least_instances=1, max_body_bytes=FAMILY_BYTES["realtime"], max_seconds=60, link=DEPLOY_OPTIONS,
    ),
    "serverless": Family(
        "a serverless endpoint", None, "serverless", gpu=False, graviton=False, network_isolation=False,
        least_instances=None, max_body_bytes=FAMILY_BYTES["serverless"], max_seconds=60, link=SERVERLESS,
    ),
    "async": Family(
        "an asynchronous endpoint", "endpoint", "async", gpu=True, graviton=True, network_isolation=True,
        least_instances=0, max_body_bytes=FAMILY_BYTES["async"], max_seconds=3600, link=ASYNC_INFERENCE,
    ),
}  # fmt: skip

#: Does a mode score in batch, and so need to know when? One line per mode.
SCORES_IN_BATCH = {
    ServingMode.BATCH: True,
    ServingMode.PRECOMPUTE: True,
    ServingMode.HYBRID: True,
    ServingMode.TIERED: True,
    ServingMode.REALTIME: False,
    ServingMode.SERVERLESS: False,
    ServingMode.ASYNC: False,
    ServingMode.STREAMING: False,
}

#: Which endpoint a mode keeps, as the entry says. One line per mode.
ENDPOINT: dict[ServingMode, Callable[["ModelSpec"], FamilyName | None]] = {
    ServingMode.BATCH: lambda spec: None,
    ServingMode.PRECOMPUTE: lambda spec: None,
    ServingMode.HYBRID: lambda spec: spec.hybrid.fallback,
    ServingMode.REALTIME: lambda spec: "realtime",
    ServingMode.SERVERLESS: lambda spec: "serverless",
    ServingMode.ASYNC: lambda spec: "async",
    ServingMode.STREAMING: lambda spec: None,
    ServingMode.TIERED: lambda spec: spec.tiered.light,
}

#: A Region's quotas that a fleet of models shares. The pool of concurrency is half of this in the smaller Regions.
MAX_SERVERLESS_ENDPOINTS = 50
SERVERLESS_POOL = 1000
MAX_ENDPOINT_NAME = 63


def endpoint_family(spec: "ModelSpec") -> FamilyName | None:
    """Return the family of the endpoint that the entry's mode keeps; None where it keeps none."""
    return ENDPOINT[spec.mode](spec)


def endpoint_of(spec: "ModelSpec") -> Family | None:
    """Return what the endpoint that the entry's mode keeps can do; None where it keeps none."""
    name = endpoint_family(spec)
    return FAMILIES[name] if name else None


#: Application Auto Scaling refuses burstable instances: they bring more capacity by themselves, for a while.
NOT_SCALABLE = ("ml.t2.",)


def may_scale(instance_type: str) -> bool:
    return not instance_type.startswith(NOT_SCALABLE)


def realtime_instances(spec: "ModelSpec", stage: "Stage") -> int:
    """Return how many instances a real-time endpoint starts with and never goes below: the entry's word, or the stage's
    minimum as far as `max_instances` lets it.
    """
    return spec.realtime.instance_count or min(stage.min_instances, spec.realtime.max_instances)


@dataclass(frozen=True)
class Limit:
    """Bounds of one setting, in its own unit or in seconds where it is a duration; None: AWS states none.

    `shape` is where botocore states the same: service, and the name of a shape or of Operation.member.
    """

    least: int | None
    most: int | None
    why: str = ""  # added to the reason, where the bound alone explains nothing
    instead: str = ""  # the nearest legal choice beyond "use the bound"
    link: str | None = None
    duration: bool = False
    shape: tuple[str, str] | None = None


_YEARS = 3650 * 86400

#: Every bounded setting, by its path in an entry.
LIMITS: dict[str, Limit] = {
    "transform.instance_count": Limit(1, 100, link=TRANSFORM_RESOURCES),
    "transform.max_payload_mb": Limit(1, 100, link=TRANSFORM_JOB),
    "transform.max_concurrent": Limit(1, 100, link=TRANSFORM_JOB),
    "transform.invocation_timeout": Limit(
        1, 3600, link=CLIENT_CONFIG, duration=True, shape=("sagemaker", "InvocationsTimeoutInSeconds")
    ),
    "transform.invocation_retries": Limit(0, 3, link=CLIENT_CONFIG, shape=("sagemaker", "InvocationsMaxRetries")),
    "realtime.instance_count": Limit(
        1,
        None,
        why="a real-time endpoint keeps at least one instance",
        instead="Endpoints that rest at none are those of `serverless` and `async`.",
        link=ENDPOINT_SCALING,
        shape=("sagemaker", "InitialTaskCount"),
    ),
    "realtime.max_instances": Limit(1, None, why="a real-time endpoint keeps at least one", link=ENDPOINT_SCALING),
    "realtime.concurrent_requests_per_model": Limit(1, None, link=ENDPOINT_SCALING),
    "realtime.invocations_per_instance": Limit(1, None, link=ENDPOINT_SCALING),
    "realtime.scale_in_cooldown": Limit(0, 3600, duration=True),
    "realtime.scale_out_cooldown": Limit(0, 3600, duration=True),
    "serverless.max_concurrency": Limit(
        1,
        200,
        why="one serverless endpoint takes no more",
        instead="Beyond it, `realtime` scales by instances.",
        link=SERVERLESS_CONFIG,
        shape=("sagemaker", "ServerlessMaxConcurrency"),
    ),
    "serverless.provisioned_concurrency": Limit(
        1, 200, link=SERVERLESS_CONFIG, shape=("sagemaker", "ServerlessProvisionedConcurrency")
    ),
    "async.max_instances": Limit(1, None, link=ASYNC_SCALING),
    "async.expiry": Limit(
        60,
        21600,
        link=INVOKE_ASYNC,
        duration=True,
        shape=("sagemaker-runtime", "InvokeEndpointAsync.RequestTTLSeconds"),
    ),
    "async.invocation_timeout": Limit(
        1,
        3600,
        link=INVOKE_ASYNC,
        duration=True,
        shape=("sagemaker-runtime", "InvokeEndpointAsync.InvocationTimeoutSeconds"),
    ),
    "async.max_concurrent_per_instance": Limit(
        1, 1000, link=ASYNC_CONFIG, shape=("sagemaker", "MaxConcurrentInvocationsPerInstance")
    ),
    "async.backlog_per_instance": Limit(1, None, link=ASYNC_SCALING),
    "async.scale_in_cooldown": Limit(0, 3600, duration=True),
    "hybrid.remember": Limit(1, _YEARS, duration=True),
    "hybrid.max_live_per_minute": Limit(1, None),
    "refresh.when_older_than": Limit(60, _YEARS, duration=True),
    "refresh.window": Limit(0, 300, link=EVENT_SOURCE, duration=True),
    "refresh.min_interval": Limit(0, 86400, duration=True),
    "refresh.max_per_minute": Limit(1, None),
    "streaming.window": Limit(
        1, 300, link=EVENT_SOURCE, duration=True
    ),  # Lambda itself takes 0 too; a window of none collects nothing
    "streaming.batch_size": Limit(1, 10000, link=EVENT_SOURCE, shape=("lambda", "BatchSize")),
    "max_staleness": Limit(1, _YEARS, duration=True),
    "keep_scores": Limit(3600, _YEARS, duration=True),
}


def within(setting: str) -> dict[str, Any]:
    """Return a setting's bounds as arguments of pydantic's Field."""
    limit = LIMITS[setting]
    bounds = {"ge": limit.least, "le": limit.most}
    return {name: bound for name, bound in bounds.items() if bound is not None}
