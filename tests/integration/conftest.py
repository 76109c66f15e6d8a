"""One cloud and one deployment for the whole integration suite.

By default the suite starts Turnout's local cloud. `--endpoint URL` runs the same tests against another
emulator (LocalStack), `--endpoint aws` against the account that the environment's credentials lead to.
Clients come from localstack-client, which knows endpoints and dummy credentials; tests that need what
only the local cloud can do carry the marker `local_only` with the reason.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import localstack_client.session
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from handlers.contract.modes import ServingMode
from tests.integration.pipeline_runs import follow, put_input
from turnout import deployed, runs
from turnout.front_door import FrontDoor
from turnout.local import control

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "tests/integration/models.yaml"
STAGE = "dev"
#: The CDK CLI looks at a stack every five seconds, so stacks that are deployed one after another take as long each.
STACKS_AT_ONCE = 6
#: The model of the suite that stands for each mode; all of them have the sample model's code.
STANDS_FOR = {
    ServingMode.BATCH: "weekly",
    ServingMode.PRECOMPUTE: "churn",
    ServingMode.HYBRID: "mixed",
    ServingMode.REALTIME: "live",
    ServingMode.SERVERLESS: "burst",
    ServingMode.ASYNC: "queued",
}
#: Of the sample payloads so many get a score in mode hybrid; the others are misses.
SCORED_IN_HYBRID = 10


#: What boto3 and the CDK CLI want to know of an emulator; its account is all zeros, as LocalStack's is.
EMULATOR_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "000000000000",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Signed(requests.auth.AuthBase):
    """Signs a request as the front door wants it (SigV4, service `execute-api`)."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        session = boto3.Session()
        signed = AWSRequest(request.method, request.url, data=request.body)
        SigV4Auth(session.get_credentials(), "execute-api", session.region_name or "us-east-1").add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


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
def only_worker(tmp_path_factory, worker_id):
    """Fail where a second worker of `pytest -n` is about to deploy: tests of a module would run on two clouds."""
    if worker_id != "master":
        (tmp_path_factory.getbasetemp().parent / "deployed-by-a-worker").touch(exist_ok=False)


@pytest.fixture(scope="session")
def platform(request, only_worker, cloud, cdk, trained):
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


@pytest.fixture(scope="session")
def samples(trained):
    """The sample model's payloads with the predictions that training made of them."""
    return json.loads((trained / "sample_payloads.json").read_text())["rows"]


@pytest.fixture(scope="module")
def scored(client, platform, model, door, samples):
    """A run's end, by model, for each model in STANDS_FOR that scores in batch: the samples are all its input."""
    rows = {"weekly": samples, "churn": samples, "mixed": samples[:SCORED_IN_HYBRID]}
    types = {feature["name"]: feature["type"] for feature in door.describe("churn").body["schema"]["features"]}
    for name, input_rows in rows.items():
        put_input(client, platform, name, {"samples.parquet": _parquet(input_rows, types)})
    started = {name: runs.start(model(name)) for name in rows}
    ended = {name: follow(model(name), platform, execution) for name, execution in started.items()}
    assert {name: end.status for name, end in ended.items()} == dict.fromkeys(rows, "SUCCEEDED")
    return ended


def _parquet(rows: list[dict], types: dict[str, str]) -> bytes:
    """Return rows of sample payloads as a Parquet file, whole numbers as such: the samples are JSON floats."""
    columns = {"customer_id": pa.array([row["customer_id"] for row in rows])}
    for name, kind in types.items():
        values = [row["features"][name] for row in rows]
        columns[name] = pa.array([int(value) for value in values] if kind == "integer" else values)
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()
