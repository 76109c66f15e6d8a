"""One cloud and one deployment for the whole integration suite.

By default the suite starts Turnout's local cloud. `--endpoint URL` runs the same tests against another
emulator (LocalStack), `--endpoint aws` against the account that the environment's credentials lead to.
Clients come from localstack-client, which knows endpoints and dummy credentials; tests that need what
only the local cloud can do carry the marker `local_only` with the reason.
"""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import localstack_client.session
import pytest

from turnout import deployed
from turnout.front_door import FrontDoor
from turnout.local import control

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "tests/integration/models.yaml"
STAGE = "dev"
#: The CDK CLI looks at a stack every five seconds, so stacks that are deployed one after another take as long each.
STACKS_AT_ONCE = 6


#: What boto3 and the CDK CLI want to know of an emulator; its account is all zeros, as LocalStack's is.
EMULATOR_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "000000000000",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def pytest_collection_modifyitems(config, items):
    if config.getoption("--endpoint") is None:
        return
    for item in items:
        if marker := item.get_closest_marker("local_only"):
            item.add_marker(pytest.mark.skip(reason=f"only Turnout's local cloud: {marker.args[0]}"))


@pytest.fixture(scope="session")
def cloud(request, tmp_path_factory):
    """The cloud under test; None when it is not ours."""
    endpoint = request.config.getoption("--endpoint")
    if endpoint is not None:
        if endpoint != "aws":
            os.environ["AWS_ENDPOINT_URL"] = endpoint
            for name, value in EMULATOR_ENVIRONMENT.items():
                os.environ.setdefault(name, value)
        yield None
        return
    state = tmp_path_factory.mktemp("cloud")
    running = control.up(state)
    saved = dict(os.environ)
    os.environ.update(control.environ(running))
    yield running
    control.down(state)
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(scope="session")
def client(request, cloud):
    """A function from service name to client."""
    if request.config.getoption("--endpoint") == "aws":
        return boto3.client
    return localstack_client.session.Session(region_name=os.environ.get("AWS_REGION", "us-east-1")).client


@pytest.fixture(scope="session")
def cdk(tmp_path_factory):
    """A function that runs the real CDK CLI on a configuration file and returns its output."""
    output = tmp_path_factory.mktemp("cdk")

    def run(*arguments: str, config: str | Path = CONFIG) -> str:
        command = [str(ROOT / "node_modules/.bin/cdk"), *arguments, "-c", f"config={config}", "-c", f"stage={STAGE}"]
        command += ["-c", "drain=1", "-c", "gate_poll=1"]  # seconds; AWS takes 35 and 5
        if arguments[0] == "deploy":
            command += ["--concurrency", str(STACKS_AT_ONCE)]
        environment = {**os.environ, "CDK_VALIDATION": "false", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20"}
        environment["VIRTUAL_ENV"] = sys.prefix  # cdk.json takes the app's Python from here
        ended = subprocess.run(
            [*command, "--output", str(output)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


@pytest.fixture(scope="session")
def trained():
    """The sample model's artifact, trained if it is not there yet."""
    artifact = ROOT / "model_code/churn/artifact"
    if not (artifact / "model.joblib").exists():
        subprocess.run([sys.executable, "model_code/churn/train.py"], cwd=ROOT, check=True, capture_output=True)
    return artifact


@pytest.fixture(scope="session")
def platform(request, cloud, cdk, trained):
    """The deployed platform, with every model of the suite's configuration beside it."""
    if request.config.getoption("--endpoint") != "aws":
        cdk("bootstrap", "aws://000000000000/us-east-1")
    cdk("deploy", "--all", "--require-approval", "never")
    return deployed.find_platform(STAGE)


@pytest.fixture(scope="session")
def model(platform):
    """A function from a model's name to its deployed form."""
    return lambda name: deployed.find_model(STAGE, name)


@pytest.fixture(scope="session")
def door(platform):
    return FrontDoor(platform.api_url)
