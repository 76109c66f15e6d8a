"""Small actions for tests that need the local cloud."""

import io
import json
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from turnout.local import control

STAND_IN = Path(__file__).parent / "stand_in" / "serve.py"
ROLE = "arn:aws:iam::000000000000:role/any"


def client_factory(cloud: control.LocalCloud) -> Callable[[str], Any]:
    """Return `client(service)` for boto3 clients of this cloud."""
    variables = control.environ(cloud)
    session = boto3.session.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    lock, made = threading.Lock(), {}

    def client(service: str) -> Any:
        with lock:  # sessions are not safe to share among threads, clients are
            if service not in made:
                made[service] = session.client(
                    service, endpoint_url=cloud.endpoint, config=Config(max_pool_connections=50)
                )
            return made[service]

    return client


def random_name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def wait_until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Poll until `what` gives something true, and return it; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.1)
    raise AssertionError(f"still not true after {seconds} s: {what}")


def model_archive(**settings: Any) -> bytes:
    """Return a model.tar.gz for the stand-in server."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        data = json.dumps(settings).encode()
        member = tarfile.TarInfo("settings.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def bucket(client) -> str:
    name = random_name("bucket")
    client("s3").create_bucket(Bucket=name)
    return name


def stand_in_model(client, bucket_name: str, **settings: Any) -> str:
    """Put a stand-in model with these settings into SageMaker and return its name."""
    name = random_name("model")
    client("s3").put_object(Bucket=bucket_name, Key=f"{name}/model.tar.gz", Body=model_archive(**settings))
    container = {
        "Image": "example.com/any:1",
        "ModelDataUrl": f"s3://{bucket_name}/{name}/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "score.py"},
    }
    client("sagemaker").create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return name


def csv_job(bucket_name: str, model: str, **overrides: Any) -> dict[str, Any]:
    """Return a CreateTransformJob request as the pipeline sends it: number, features -> number, prediction."""
    return {
        "TransformJobName": random_name("job"),
        "ModelName": model,
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": 6,
        "MaxConcurrentTransforms": 2,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket_name}/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{bucket_name}/out/",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "DataProcessing": {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
        **overrides,
    }


def finished(client, job_name: str, seconds: float = 60) -> dict[str, Any]:
    """Wait for a transform job and return its description."""

    def done():
        job = client("sagemaker").describe_transform_job(TransformJobName=job_name)
        return job if job["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_until(done, seconds)


def put(client, bucket_name: str, **objects: str) -> None:
    """Put text objects; `__` in a name stands for a slash and a trailing `_csv` for the extension."""
    for name, text in objects.items():
        key = name.replace("__", "/").replace("_csv", ".csv")
        client("s3").put_object(Bucket=bucket_name, Key=key, Body=text.encode())


def objects(client, bucket_name: str, prefix: str = "out/") -> dict[str, str]:
    """Return the text of every object under a prefix, by key without the prefix."""
    s3 = client("s3")
    listed = s3.list_objects_v2(Bucket=bucket_name, Prefix=prefix).get("Contents", [])
    return {
        o["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket_name, Key=o["Key"])["Body"].read().decode()
        for o in listed
    }


def function(client, code: str, runtime: str = "python3.12", **settings: Any) -> str:
    """Create a Lambda function from source text (module `index`, function `handler`) and return its ARN."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.py", code)
    return client("lambda").create_function(
        FunctionName=random_name("function"),
        Runtime=runtime,
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": out.getvalue()},
        Timeout=30,
        **settings,
    )["FunctionArn"]


def state_machine(client, definition: dict[str, Any]) -> str:
    return client("stepfunctions").create_state_machine(
        name=random_name("machine"), definition=json.dumps(definition), roleArn=ROLE
    )["stateMachineArn"]


def executed(client, machine: str, payload: Any = None, seconds: float = 60) -> dict[str, Any]:
    """Run a state machine and return the finished execution's description."""
    sfn = client("stepfunctions")
    arn = sfn.start_execution(stateMachineArn=machine, input=json.dumps(payload or {}))["executionArn"]

    def done():
        execution = sfn.describe_execution(executionArn=arn)
        return execution if execution["status"] != "RUNNING" else None

    return wait_until(done, seconds)
