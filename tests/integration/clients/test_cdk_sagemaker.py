"""CDK's own SageMaker constructs, deployed into the local cloud by the CDK CLI, and destroyed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.integration.clients.models import PREDICTIONS, ROWS, SCRIPT, archive, numbers
from tests.integration.local.actions import random_name

pytestmark = pytest.mark.local_only("on AWS this takes minutes and costs money")

CDK = Path(__file__).resolve().parents[3] / "node_modules/.bin/cdk"
APP = Path(__file__).with_name("cdk_app.py")


def cdk(*arguments: str, directory: Path) -> None:
    ended = subprocess.run([CDK, *arguments], cwd=directory, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def project(cloud, tmp_path, trained) -> Path:
    """The folder of a CDK project whose app has one stack."""
    archived = tmp_path / "model.tar.gz"
    archived.write_bytes(archive({"model.joblib": trained, "code/inference.py": SCRIPT}))
    context = {"archive": str(archived), "stack": random_name("Clients")}
    cdk("bootstrap", "aws://000000000000/us-east-1", directory=tmp_path)
    (tmp_path / "cdk.json").write_text(json.dumps({"app": f"{sys.executable} {APP}", "context": context}))
    return tmp_path


def test_an_endpoint_of_cdks_own_constructs_answers_scales_and_goes(client, project):
    cdk("deploy", "--require-approval", "never", "--outputs-file", "outputs.json", directory=project)
    (outputs,) = json.loads((project / "outputs.json").read_text()).values()
    name = outputs["EndpointName"]
    runtime, sagemaker = client("sagemaker-runtime"), client("sagemaker")
    for variant in ("steady", "scaled"):
        answer = runtime.invoke_endpoint(
            EndpointName=name, Body=ROWS, ContentType="text/csv", Accept="text/csv", TargetVariant=variant
        )
        assert answer["InvokedProductionVariant"] == variant
        assert numbers(answer["Body"].read()) == pytest.approx(PREDICTIONS)
    resource = f"endpoint/{name}/variant/scaled"
    scaling = client("application-autoscaling")
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 30 * 60 * 0.5
    cdk("destroy", "--force", directory=project)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName=name)
    assert (
        scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])["ScalableTargets"] == []
    )
