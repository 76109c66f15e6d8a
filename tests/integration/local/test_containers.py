"""Models of AWS's prebuilt images and of somebody's own command, through the API, without Docker."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from textwrap import dedent

import joblib
import numpy as np
import pytest
from botocore.exceptions import ClientError
from sklearn.linear_model import LinearRegression

from tests.integration.local.actions import (
    ROLE,
    bucket,
    csv_job,
    finished,
    objects,
    put,
    random_name,
    wait_until,
)
from tests.integration.local.endpoint_actions import endpoint, endpoint_config, settled

pytestmark = [
    pytest.mark.local_only("on AWS the images themselves do this"),
    pytest.mark.usefixtures("no_endpoints_left"),
]

SCIKIT_LEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
LOAD = """
import joblib, os

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
"""
TRANSFORM = "def model_fn(model_dir):\n    return 0\n\ndef transform_fn(model, body, content_type, accept):\n"


def archive(files: dict[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def trained() -> bytes:
    """Return a pickled regression that doubles the first feature and adds the second."""
    rows = np.array([[0, 0], [1, 0], [0, 1], [2, 3]], dtype=float)
    out = io.BytesIO()
    joblib.dump(LinearRegression().fit(rows, rows @ [2, 1]), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


@pytest.fixture
def deployed(client, data) -> Callable[..., str]:
    """A function that puts a model into SageMaker and returns its name."""

    def create(files: dict[str, bytes | str], image: str = SCIKIT_LEARN, *, model: dict | None = None, **environment):
        name = random_name("model")
        client("s3").put_object(Bucket=data, Key=f"{name}/model.tar.gz", Body=archive(files))
        container = {
            "Image": image,
            "ModelDataUrl": f"s3://{data}/{name}/model.tar.gz",
            "Environment": {**SCRIPT_MODE, **environment},
        }
        client("sagemaker").create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container, **(model or {})
        )
        return name

    return create


@pytest.fixture
def served(client, deployed) -> Callable[..., str]:
    """A function that serves a model from an endpoint and returns the endpoint's name."""
    return lambda *model, **settings: endpoint(client, endpoint_config(client, deployed(*model, **settings)))


def invoked(client, name: str, body: bytes | str, content_type: str, accept: str) -> tuple[bytes, str]:
    answer = client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, Body=body, ContentType=content_type, Accept=accept
    )
    return answer["Body"].read(), answer["ContentType"]


def failure(client, model: str) -> str:
    """Return why an endpoint of this model does not come up."""
    name = random_name("endpoint")
    client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=endpoint_config(client, model))
    described = settled(client, name)
    assert described["EndpointStatus"] == "Failed"
    return described["FailureReason"]


def test_a_scikit_learn_model_needs_no_more_than_model_fn(client, served):
    name = served({"code/inference.py": LOAD, "model.joblib": trained()})
    body, content_type = invoked(client, name, "1,2\n3,4", "text/csv", "application/json")
    assert (json.loads(body), content_type) == (pytest.approx([4, 10]), "application/json")
    body, content_type = invoked(client, name, "[[1, 2], [3, 4]]", "application/json", "text/csv")
    assert ([float(line) for line in body.split()], content_type) == (pytest.approx([4, 10]), "text/csv; charset=utf-8")
    stream = io.BytesIO()
    np.save(stream, np.array([[1.0, 2.0]]))
    body, _ = invoked(client, name, stream.getvalue(), "application/x-npy", "application/x-npy")
    assert np.load(io.BytesIO(body)) == pytest.approx([4])
    with pytest.raises(ClientError, match=r"Received server error \(500\) from primary") as refused:
        invoked(client, name, '{"a": 1}', "application/jsonlines", "text/csv")
    assert refused.value.response["OriginalStatusCode"] == 500
    assert "<title>500 Internal Server Error</title>" in refused.value.response["OriginalMessage"]


def test_the_four_hooks_score_a_transform_job(client, data, deployed):
    script = LOAD + dedent("""
        def input_fn(body, content_type):
            assert (type(body), content_type) == (str, "text/csv")
            return [[float(value) for value in line.split(",")] for line in body.splitlines()]

        def predict_fn(rows, model):
            return model.predict(rows)

        def output_fn(prediction, accept):
            return "\\n".join(f"{value:.1f}" for value in prediction), accept
        """)
    model = deployed({"code/inference.py": script, "model.joblib": trained()})
    put(client, data, in__rows_csv="a,1,2\nb,3,4\n")
    job = csv_job(data, model)
    client("sagemaker").create_transform_job(**job)
    assert finished(client, job["TransformJobName"])["TransformJobStatus"] == "Completed"
    assert objects(client, data)["rows.csv.out"] == "a,4.0\nb,10.0\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def predict_fn(data, model): return data\n", "Please provide a model_fn implementation"),
        (TRANSFORM + "    return body\ndef input_fn(body, content_type): return body\n", "Cannot use transform_fn"),
        ("import no_such_package\n", "No module named 'no_such_package'"),
    ],
    ids=["no model_fn", "mixed hooks", "bad import"],
)
def test_a_script_that_the_image_refuses_fails_the_endpoint(client, deployed, script, reason):
    told = failure(client, deployed({"code/inference.py": script}))
    assert "did not pass the ping health check" in told
    assert reason in told


def test_a_model_of_ones_own_image_runs_its_own_command(client, served):
    server = """
    import http.server, os
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(b"")
        def do_POST(self):
            self.answer(self.rfile.read(int(self.headers["Content-Length"])).upper())
        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    where = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(where, Handler).serve_forever()
    """
    command = "{python} {model_dir}/mine.py"
    name = served({"mine.py": dedent(server)}, image=OWN_IMAGE, TURNOUT_LOCAL_COMMAND=command)
    assert invoked(client, name, "loud", "text/plain", "text/plain")[0] == b"LOUD"


def test_the_clouds_table_gives_an_image_its_command(client, served, stand_in_cloud):
    table = stand_in_cloud.state_dir / "images.json"
    table.write_text(json.dumps({"*/sklearn-copy:*": "scikit-learn"}))
    name = served(
        {"code/inference.py": TRANSFORM + "    return body * 2\n"}, image="registry.example.com/ml/sklearn-copy:1"
    )
    assert invoked(client, name, "ab", "text/csv", "text/csv")[0] == b"abab"
    table.unlink()


def test_a_generators_parts_reach_the_caller_of_a_response_stream(client, served):
    name = served({"code/inference.py": TRANSFORM + "    return iter(['one', 'two', 'three']), 'text/plain'\n"})
    answer = client("sagemaker-runtime").invoke_endpoint_with_response_stream(EndpointName=name, Body=b"x")
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert (b"".join(parts), answer["ContentType"]) == (b"onetwothree", "text/plain; charset=utf-8")


def test_a_pipeline_passes_each_answer_on_with_its_content_type(client, data):
    def container(key: str, script: str, **environment: str) -> dict:
        client("s3").put_object(Bucket=data, Key=key, Body=archive({"code/inference.py": TRANSFORM + script}))
        variables = {**SCRIPT_MODE, **environment}
        return {"Image": SCIKIT_LEARN, "ModelDataUrl": f"s3://{data}/{key}", "Environment": variables}

    name = random_name("model")
    told = "    return f'{body}|{content_type}>{accept}', 'text/csv'\n"
    first = container("first.tar.gz", told, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    second = container("second.tar.gz", "    body = body.decode()\n" + told)
    client("sagemaker").create_model(ModelName=name, ExecutionRoleArn=ROLE, Containers=[first, second])
    serving = endpoint(client, endpoint_config(client, name))
    body, _ = invoked(client, serving, "x", "text/csv", "application/json")
    assert body.decode() == "x|text/csv>text/csv|text/csv; charset=utf-8>application/json"


def wheel(name: str, code: str) -> bytes:
    """Return a wheel of one module, so that no package index is asked."""
    files = {
        f"{name}.py": code,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for path, text in files.items()
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archived:
        for path, text in files.items():
            archived.writestr(path, text)
        archived.writestr(f"{name}-1.0.dist-info/RECORD", record + f"{name}-1.0.dist-info/RECORD,,\n")
    return out.getvalue()


def test_a_model_has_the_packages_of_its_own_requirements(client, served, tmp_path):
    package = random_name("own").replace("-", "_")
    script = f"import sklearn, {package}\n{TRANSFORM}    return {package}.ANSWER\n"
    files = {
        "code/inference.py": script,
        "code/requirements.txt": f"# ours\n./{package}-1.0-py3-none-any.whl\n",
        f"code/{package}-1.0-py3-none-any.whl": wheel(package, "ANSWER = 'installed'\n"),
    }
    assert invoked(client, served(files, XDG_CACHE_HOME=str(tmp_path)), "x", "text/csv", "text/csv")[0] == b"installed"


def test_requirements_that_cannot_be_installed_fail_the_endpoint_in_pips_words(client, deployed, tmp_path):
    files = {
        "code/inference.py": TRANSFORM + "    return body\n",
        "code/requirements.txt": "./nowhere-1.0-py3-none-any.whl\n",
    }
    told = failure(client, deployed(files, XDG_CACHE_HOME=str(tmp_path)))
    assert "ERROR" in told
    assert "nowhere-1.0-py3-none-any.whl" in told
    isolated = failure(client, deployed(files, model={"EnableNetworkIsolation": True}))
    assert "network isolation" in isolated


def test_code_outside_the_archive_is_fetched_unless_the_model_is_isolated(client, data, deployed, served):
    client("s3").put_object(
        Bucket=data, Key="source.tar.gz", Body=archive({"inference.py": TRANSFORM + "    return 'far'\n"})
    )
    place = {"SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{data}/source.tar.gz"}
    assert invoked(client, served({"weights": "1"}, **place), "x", "text/csv", "text/csv")[0] == b"far"
    isolated = failure(client, deployed({"weights": "1"}, model={"EnableNetworkIsolation": True}, **place))
    assert "the model has network isolation" in isolated


def test_an_uncompressed_model_is_copied_as_it_lies(client, data):
    name = random_name("model")
    files = {
        "code/inference.py": TRANSFORM
        + "    return open(__file__.replace('code/inference.py', 'deep/weights')).read()\n"
    }
    for key, content in {**files, "deep/weights": "heavy"}.items():
        client("s3").put_object(Bucket=data, Key=f"{name}/{key}", Body=content.encode())
    source = {"S3Uri": f"s3://{data}/{name}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": SCIKIT_LEARN, "ModelDataSource": {"S3DataSource": source}, "Environment": SCRIPT_MODE}
    client("sagemaker").create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    serving = endpoint(client, endpoint_config(client, name))
    assert invoked(client, serving, "x", "text/csv", "text/csv")[0] == b"heavy"


@pytest.mark.parametrize(
    ("hoarded", "environment", "settings"),
    [
        (300, {"TURNOUT_LOCAL_MEMORY_MB": "200"}, {}),
        (1300, {}, {"serverless": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}),
    ],
    ids=["instance", "serverless"],
)
def test_a_model_that_takes_too_much_memory_is_killed_and_replaced(client, deployed, hoarded, environment, settings):
    body = f"""
    if body == "hoard":
        model = bytearray({hoarded}_000_000)
        import time
        time.sleep(30)
    return "fine"
"""
    model = deployed({"code/inference.py": TRANSFORM + body}, **environment)
    name = endpoint(client, endpoint_config(client, model, **settings))
    assert invoked(client, name, "x", "text/csv", "text/csv")[0] == b"fine"
    with pytest.raises(ClientError) as refused:
        invoked(client, name, "hoard", "text/csv", "text/csv")
    assert refused.value.response["Error"]["Code"] == "ModelError"
    logs = client("logs")
    group = f"/aws/sagemaker/Endpoints/{name}"
    wait_until(lambda: logs.filter_log_events(logGroupName=group, filterPattern="exceeded")["events"])
    wait_until(lambda: _answers(client, name))


def _answers(client, name: str) -> bool:
    try:
        return invoked(client, name, "x", "text/csv", "text/csv")[0] == b"fine"
    except ClientError:
        return False
