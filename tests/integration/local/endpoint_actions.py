"""Small actions for tests of the local cloud's endpoints."""

from typing import Any

import boto3
import psutil
from botocore.config import Config

from tests.integration.local.actions import random_name, wait_until
from turnout.local import control

CSV = {"ContentType": "text/csv", "Accept": "text/csv"}


def endpoint_config(client, model: str, *, serverless: dict | None = None, count: int = 1, **settings: Any) -> str:
    """Create an endpoint configuration with one variant and return its name."""
    name = random_name("config")
    kind = {"ServerlessConfig": serverless} if serverless else instances(count)
    variant = {"VariantName": "AllTraffic", "ModelName": model, **kind, **settings.pop("variant", {})}
    client("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **settings)
    return name


def instances(count: int = 1, kind: str = "ml.m5.large") -> dict[str, Any]:
    return {"InstanceType": kind, "InitialInstanceCount": count}


SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


def asynchronous(bucket: str, **settings: Any) -> dict[str, Any]:
    """Return an AsyncInferenceConfig whose results lie in a bucket."""
    output = {"S3OutputPath": f"s3://{bucket}/out/", "S3FailurePath": f"s3://{bucket}/failed/", **settings}
    return {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4}}


def endpoint(client, config: str, name: str | None = None) -> str:
    """Create an endpoint, wait until it is in service, and return its name."""
    name = name or random_name("endpoint")
    client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert settled(client, name)["EndpointStatus"] == "InService"
    return name


def settled(client, name: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until nothing is under way and return the endpoint's description."""

    def rests():
        described = client("sagemaker").describe_endpoint(EndpointName=name)
        return described if described["EndpointStatus"] in ("InService", "Failed") else None

    return wait_until(rests, seconds)


def ask(client, name: str, body: str = "1,2", **parameters: Any) -> str:
    """Return the endpoint's answer."""
    answer = client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **CSV, **parameters)
    return answer["Body"].read().decode()


def servers(endpoint_name: str) -> list[psutil.Process]:
    """Return the model servers that run for an endpoint, by the model folder in their environment."""
    return [process for process in psutil.process_iter(["cmdline"]) if _serves(process, endpoint_name)]


def _serves(process: psutil.Process, endpoint_name: str) -> bool:
    command = " ".join(process.info["cmdline"] or [])
    if "serve.py" not in command or "guard.py" in command:
        return False
    try:
        return f"endpoint-{endpoint_name}-" in process.environ().get("TURNOUT_MODEL_DIR", "")
    except psutil.Error:
        return False


def impatient_runtime(cloud: control.LocalCloud) -> Any:
    """Return a SageMaker runtime client that never tries again."""
    return boto3.session.Session().client(
        "sagemaker-runtime",
        endpoint_url=cloud.endpoint,
        region_name=control.REGION,
        aws_access_key_id=control.ACCOUNT,
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
