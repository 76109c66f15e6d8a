"""The AWS CLI against the local cloud, command by command, as in a shell."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients.models import ENVIRONMENT, IMAGE, PREDICTIONS, ROLE, ROWS, numbers
from tests.integration.local.actions import random_name, wait_until

pytestmark = pytest.mark.local_only("on AWS each of these takes minutes and costs money")

AWS = Path(sys.prefix) / "bin/aws"
#: Exit codes of version 1; version 2 has 254, 255 and 252.
SERVICE_ERROR, WAITER_ERROR, USAGE_ERROR = 255, 255, 2


def aws(*arguments: Any) -> subprocess.CompletedProcess:
    return subprocess.run([AWS, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def answer(*arguments: Any) -> Any:
    """Return what a command prints, read as JSON; None when it prints nothing."""
    ended = aws(*arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if ended.stdout else None


def text(*arguments: Any) -> str:
    """Return what a command prints as text."""
    ended = aws(*arguments, "--output", "text")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def model(cloud, model_data) -> str:
    name = random_name("cli")
    container = {"Image": IMAGE, "ModelDataUrl": model_data, "Environment": ENVIRONMENT}
    created = answer(
        "sagemaker", "create-model", "--model-name", name, "--execution-role-arn", ROLE,
        "--primary-container", json.dumps(container), "--tags", "Key=team,Value=clients",
    )  # fmt: skip
    assert created["ModelArn"].endswith(f":model/{name}")
    return name


def create_job(model: str, source: str, out: str) -> str:
    name = random_name("cli")
    source = f"DataSource={{S3DataSource={{S3DataType=S3Prefix,S3Uri={source}}}}},ContentType=text/csv,SplitType=Line"
    answer(
        "sagemaker", "create-transform-job", "--transform-job-name", name, "--model-name", model,
        "--transform-input", source,
        "--transform-output", f"S3OutputPath={out},Accept=text/csv,AssembleWith=Line",
        "--transform-resources", "InstanceType=ml.m5.large,InstanceCount=1",
    )  # fmt: skip
    return name


def ended(client, job: str) -> None:
    """Wait as the CLI would, only that it looks once a minute."""
    sagemaker = client("sagemaker")
    wait_until(lambda: sagemaker.describe_transform_job(TransformJobName=job)["TransformJobStatus"] != "InProgress")


def test_a_transform_job_is_created_waited_for_described_and_listed(client, data, model, tmp_path):
    job = create_job(model, f"s3://{data}/in/", f"s3://{data}/cli/")
    ended(client, job)
    answer("sagemaker", "wait", "transform-job-completed-or-stopped", "--transform-job-name", job)
    described = ["sagemaker", "describe-transform-job", "--transform-job-name", job]
    assert text(*described, "--query", "[TransformJobStatus,ModelName]").split() == ["Completed", model]
    text("s3", "cp", f"s3://{data}/cli/rows.csv.out", tmp_path / "out.csv")
    assert numbers((tmp_path / "out.csv").read_text()) == pytest.approx(PREDICTIONS)
    found = ["sagemaker", "list-transform-jobs", "--name-contains", job, "--status-equals", "Completed"]
    assert text(*found, "--query", "TransformJobSummaries[].TransformJobName") == job
    group = ["logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TransformJobs"]
    assert "POST /invocations 200" in text(*group, "--log-stream-name-prefix", job, "--query", "events[].message")


def test_a_job_that_fails_fails_the_waiter(client, data, model):
    job = create_job(model, f"s3://{data}/nothing-here/", f"s3://{data}/cli-nothing/")
    ended(client, job)
    waited = aws("sagemaker", "wait", "transform-job-completed-or-stopped", "--transform-job-name", job)
    assert waited.returncode == WAITER_ERROR
    assert "Waiter TransformJobCompletedOrStopped failed" in waited.stderr


def test_pages_are_put_together_and_counted(client, model_data):
    prefix = random_name("p")
    for number in range(5):
        client("sagemaker").create_model(
            ModelName=f"{prefix}-{number}", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE}
        )
    listing = ["sagemaker", "list-models", "--name-contains", prefix, "--sort-by", "Name", "--sort-order", "Ascending"]
    names = [f"{prefix}-{number}" for number in range(5)]
    assert text(*listing, "--page-size", 2, "--query", "Models[].ModelName").split() == names
    first = answer(*listing, "--max-items", 3)
    assert [found["ModelName"] for found in first["Models"]] == names[:3]
    rest = answer(*listing, "--starting-token", first["NextToken"])
    assert [found["ModelName"] for found in rest["Models"]] == names[3:]
    assert len(answer(*listing, "--no-paginate", "--max-results", 2)["Models"]) == 2


def test_errors_have_the_clis_exit_codes(cloud):
    missing = aws("sagemaker", "describe-model", "--model-name", "nobody")
    assert missing.returncode == SERVICE_ERROR
    assert "(ValidationException) when calling the DescribeModel operation" in missing.stderr
    not_here = aws("sagemaker", "list-training-jobs")
    assert not_here.returncode == SERVICE_ERROR
    assert "ListTrainingJobs" in not_here.stderr
    assert aws("sagemaker", "describe-model").returncode == USAGE_ERROR


@pytest.fixture
def served(client, model):
    """A function that puts the model behind an endpoint, waits with the CLI, and deletes it in the end."""
    names = []

    def serve(*settings: Any) -> str:
        names.append(random_name("cli"))
        variant = f"VariantName=AllTraffic,ModelName={model},InstanceType=ml.m5.large,InitialInstanceCount=1"
        common = ["--endpoint-config-name", names[-1]]
        answer("sagemaker", "create-endpoint-config", *common, "--production-variants", variant, *settings)
        answer("sagemaker", "create-endpoint", *common, "--endpoint-name", names[-1])
        status = lambda: client("sagemaker").describe_endpoint(EndpointName=names[-1])["EndpointStatus"]  # noqa: E731
        wait_until(lambda: status() != "Creating")
        answer("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", names[-1])
        return names[-1]

    yield serve
    for name in names:
        client("sagemaker").delete_endpoint(EndpointName=name)


def test_an_endpoint_answers_and_scales(served, tmp_path):
    name = served()
    call = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", name, "--content-type", "text/csv"]
    (tmp_path / "rows.csv").write_text(ROWS)
    call += ["--accept", "text/csv", "--body", f"fileb://{tmp_path}/rows.csv"]
    assert answer(*call, tmp_path / "out.csv")["InvokedProductionVariant"] == "AllTraffic"
    assert numbers((tmp_path / "out.csv").read_text()) == pytest.approx(PREDICTIONS)
    target = ["--service-namespace", "sagemaker", "--resource-id", f"endpoint/{name}/variant/AllTraffic"]
    target += ["--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"]
    scaling = "application-autoscaling"
    answer(scaling, "register-scalable-target", *target, "--min-capacity", 1, "--max-capacity", 2)
    metric = "PredefinedMetricSpecification={PredefinedMetricType=SageMakerVariantInvocationsPerInstance}"
    policy = ["--policy-name", "load", "--policy-type", "TargetTrackingScaling"]
    policy += ["--target-tracking-scaling-policy-configuration", f"TargetValue=1000,{metric}"]
    made = answer(scaling, "put-scaling-policy", *target, *policy)
    assert len(made["Alarms"]) == 2
    listing = [scaling, "describe-scaling-policies", *target[:4]]
    assert text(*listing, "--query", "ScalingPolicies[].PolicyARN") == made["PolicyARN"]
    capacity = "ScalableTargets[].[MinCapacity,MaxCapacity]"
    found = text(scaling, "describe-scalable-targets", *target[:4], "--query", capacity)
    assert found.split() == ["1", "2"]


def test_an_endpoint_answers_later(client, data, served):
    name = served("--async-inference-config", f"OutputConfig={{S3OutputPath=s3://{data}/cli-later/}}")
    call = ["sagemaker-runtime", "invoke-endpoint-async", "--endpoint-name", name, "--content-type", "text/csv"]
    where = answer(*call, "--accept", "text/csv", "--input-location", f"s3://{data}/in/rows.csv")["OutputLocation"]
    key, s3 = where.removeprefix(f"s3://{data}/"), client("s3")
    wait_until(lambda: s3.list_objects_v2(Bucket=data, Prefix=key).get("Contents"))
    assert numbers(s3.get_object(Bucket=data, Key=key)["Body"].read()) == pytest.approx(PREDICTIONS)
