"""What stands in for AWS's prebuilt images: hooks, defaults, types, statuses, each as the image's toolkit has it."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.unit.local.prebuilt_images import SCRIPT_MODE, Images, ask, installed, log_of, text
from turnout.local.sagemaker.container import ContainerFailed

SUM_FN = """
def model_fn(model_dir):
    return type("Model", (), {"predict": lambda self, rows: rows.sum(axis=1)})()
"""
SHOW_ENVIRONMENT = """
import json, os, sys
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    return json.dumps({**os.environ, "prefix": sys.prefix})
"""
FOUR_HOOKS = """
def model_fn(model_dir):
    return model_dir

def input_fn(body, content_type):
    return [type(body).__name__, content_type]

def predict_fn(data, model):
    return [*data, model]

def output_fn(prediction, accept):
    return " ".join([*prediction, accept]), "text/plain"
"""


# Every image


@pytest.mark.parametrize("image", ["scikit-learn", "pytorch", "huggingface"])
def test_the_four_hooks_run_in_order(opened, tmp_path, image):
    answer = ask(opened(image, FOUR_HOOKS), "1,2", "text/csv", "application/json")
    expected = f"str text/csv {tmp_path / 'model'} application/json"
    if image == "huggingface":  # its toolkit does not know tuples: Multi Model Server writes them as JSON
        assert json.loads(answer.body) == [expected, "text/plain"]
    else:
        assert text(answer) == expected
        assert answer.headers["content-type"].startswith("text/plain")


SPELLED_OUT = """
from pathlib import Path
import neighbour

def model_fn(model_dir):
    assert model_dir == "/opt/ml/model"
    with open("/opt/ml/model/weights.txt") as file:
        return file.read()

def transform_fn(model, body, content_type, accept):
    name = "weights"
    again = Path(f"/opt/ml/model/{name}.txt").read_text()
    return " ".join([model, again, neighbour.WHERE, "/opt/ml/models"]), "text/plain"
"""


@pytest.mark.parametrize("image", ["scikit-learn", "pytorch"])
def test_a_script_may_spell_out_where_aws_has_the_model(opened, tmp_path, image):
    files = {"weights.txt": b"42", "code/neighbour.py": b'WHERE = "/opt/ml/model"'}
    answer = ask(opened(image, SPELLED_OUT, files=files), "", "text/csv", "text/plain")
    assert text(answer) == f"42 42 {tmp_path / 'model'} /opt/ml/models"


@pytest.mark.parametrize("image", ["scikit-learn", "pytorch", "huggingface"])
def test_transform_fn_alone_does_everything(opened, image):
    script = """
    def model_fn(model_dir):
        return 7

    def transform_fn(model, body, content_type, accept):
        return f"{model} {body} {content_type} {accept}"
    """
    assert text(ask(opened(image, script), "x", "text/csv", "text/csv")) == "7 x text/csv text/csv"


@pytest.mark.parametrize("image", ["scikit-learn", "pytorch", "huggingface"])
def test_transform_fn_beside_another_hook_is_refused(opened, image):
    with pytest.raises(ContainerFailed, match=r"exited with code 1: .*Cannot use transform_fn implementation"):
        opened(image, FOUR_HOOKS + "\ndef transform_fn(model, body, content_type, accept):\n    return body\n")


def test_a_type_with_a_parameter_reaches_the_script_as_bytes(opened):
    answer = ask(opened("scikit-learn", FOUR_HOOKS), "1,2", "text/csv; charset=utf-8", "text/csv")
    assert text(answer).startswith("bytes text/csv; charset=utf-8")


def test_a_script_may_import_its_neighbours_and_other_names_than_inference(opened):
    script = b"from helper import answer\ndef model_fn(d): return 0\ndef transform_fn(*_): return answer\n"
    files = {"code/score.py": script, "code/helper.py": b"answer = 'helped'\n"}
    container = opened("scikit-learn", None, files=files, **{**SCRIPT_MODE, "SAGEMAKER_PROGRAM": "score.py"})
    assert text(ask(container, "x")) == "helped"


def test_a_module_of_the_model_may_be_named_like_one_of_the_servers(opened):
    script = "from worker import answer\ndef model_fn(d): return 0\ndef transform_fn(m, b, c, a): return answer\n"
    container = opened("pytorch", script, files={"code/worker.py": b"answer = 'mine'\n"})
    assert text(ask(container, "x")) == "mine"


def test_a_script_that_only_aws_would_miss_is_loaded_with_a_warning(opened):
    container = opened("scikit-learn", None, files={"code/inference.py": SUM_FN.encode()})
    assert text(ask(container, "[[1]]")) == "[1.0]"
    assert "on AWS this image finds no script without SAGEMAKER_PROGRAM, SAGEMAKER_SUBMIT_DIRECTORY" in log_of(
        container
    )


def test_a_missing_script_is_named(opened):
    with pytest.raises(ContainerFailed, match=r"No module named 'inference'.*SAGEMAKER_SUBMIT_DIRECTORY"):
        opened("scikit-learn", None, **SCRIPT_MODE)


def test_the_model_folder_is_read_only(opened):
    script = """
    import os
    def model_fn(model_dir):
        try:
            open(os.path.join(model_dir, "new"), "w")
        except OSError as error:
            return type(error).__name__
    def transform_fn(model, body, content_type, accept):
        return model
    """
    assert text(ask(opened("scikit-learn", script), "x")) == "PermissionError"


def test_the_environment_names_the_model_folder_and_holds_no_host_credentials(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    seen = json.loads(ask(opened("scikit-learn", SHOW_ENVIRONMENT, MINE="1"), "x").body)
    assert seen["SM_MODEL_DIR"] == str(tmp_path / "model")
    assert seen["MINE"] == "1"
    assert seen["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
    assert "AWS_PROFILE" not in seen
    assert seen["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_an_isolated_model_gets_nothing_of_aws(tmp_path):
    given = {"AWS_ACCESS_KEY_ID": "1", "AWS_ENDPOINT_URL": "http://127.0.0.1", "SAGEMAKER_REGION": "us-east-1"}
    for isolated in (True, False):
        with Images(tmp_path / str(isolated)) as images:
            model = {"EnableNetworkIsolation": isolated}
            container = images("scikit-learn", SHOW_ENVIRONMENT, model=model, **given)
            seen = json.loads(ask(container, "x").body)
        assert seen["SAGEMAKER_REGION"] == "us-east-1"
        assert ("AWS_ACCESS_KEY_ID" in seen, "AWS_ENDPOINT_URL" in seen) == (not isolated, not isolated)


def test_a_model_may_have_an_interpreter_of_its_own(opened, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv/bin/python")
    answer = ask(opened("scikit-learn", SHOW_ENVIRONMENT, TURNOUT_LOCAL_PYTHON=python), "x")
    assert json.loads(answer.body)["prefix"] == str(tmp_path / "venv")


def test_an_interpreter_that_is_not_there_is_named(opened):
    with pytest.raises(ContainerFailed, match="TURNOUT_LOCAL_PYTHON: /no/python is not there"):
        opened("scikit-learn", SHOW_ENVIRONMENT, TURNOUT_LOCAL_PYTHON="/no/python")


def test_a_request_in_flight_is_answered_before_the_server_ends(opened, tmp_path):
    script = """
    import time
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        print("begun", flush=True)
        time.sleep(0.5)
        return "done"
    """
    container = opened("scikit-learn", script)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(text(ask(container, "x"))))
    caller.start()
    until(lambda: "begun" in log_of(container))
    container.stop()
    caller.join()
    assert answers == ["done"]


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "still not true"
        time.sleep(0.02)


# scikit-learn


@pytest.mark.parametrize(
    ("content_type", "body", "accept", "expected"),
    [
        ("text/csv", "1,2\n3,4\n", "application/json", "[3.0, 7.0]"),
        ("application/json", "[[1, 2], [3, 4]]", "text/csv", "3.0\n7.0\n"),
        (None, "[[1, 2]]", None, "[3.0]"),
        ("text/csv", "1,2\n3,4\n", "*/*", "[3.0, 7.0]"),
    ],
)
def test_scikit_learn_reads_and_writes_csv_and_json(opened, content_type, body, accept, expected):
    answer = ask(opened("scikit-learn", SUM_FN), body, content_type, accept)
    assert (answer.status, text(answer)) == (200, expected)
    charset = "; charset=utf-8" if accept == "text/csv" else ""
    assert answer.headers["content-type"] == (accept if charset else "application/json") + charset


def test_scikit_learn_reads_and_writes_npy(opened):
    stream = io.BytesIO()
    np.save(stream, np.array([[1.5, 2.0], [3.0, 4.0]]))
    answer = ask(opened("scikit-learn", SUM_FN), stream.getvalue(), "application/x-npy", "application/x-npy")
    assert answer.headers["content-type"] == "application/x-npy"
    assert np.load(io.BytesIO(answer.body)).tolist() == [3.5, 7.0]


@pytest.mark.parametrize(
    ("content_type", "accept", "line"),
    [
        ("application/jsonlines", "text/csv", "Content type application/jsonlines is not supported"),
        ("text/csv", "application/jsonlines", "Content type application/jsonlines is not supported"),
        ("text/csv; charset=utf-8", "text/csv", "Content type text/csv; charset=utf-8 is not supported"),
    ],
)
def test_scikit_learn_answers_500_to_a_type_that_it_does_not_know(opened, content_type, accept, line):
    container = opened("scikit-learn", SUM_FN)
    answer = ask(container, "1,2\n3,4", content_type, accept)
    assert answer.status == 500
    assert "<title>500 Internal Server Error</title>" in text(answer)
    assert line in log_of(container)


def test_scikit_learn_hides_what_a_hook_raises_even_when_it_chooses_a_status(opened):
    script = (
        FOUR_HOOKS
        + """
def predict_fn(data, model):
    error = ValueError("odd row")
    error.status_code = 400
    raise error
"""
    )
    container = opened("scikit-learn", script)
    answer = ask(container, "1,2", "text/csv")
    assert answer.status == 500
    assert "odd row" not in text(answer)
    assert "ValueError: odd row" in log_of(container)


def test_scikit_learn_needs_a_model_fn(opened):
    with pytest.raises(ContainerFailed, match="Please provide a model_fn implementation"):
        opened("scikit-learn", "def predict_fn(data, model): return data\n")


def test_a_bare_string_is_html_as_flask_has_it(opened):
    script = "def model_fn(d): return 0\ndef transform_fn(*_): return 'text'\n"
    assert ask(opened("scikit-learn", script), "x").headers["content-type"] == "text/html; charset=utf-8"


def test_a_workers_response_chooses_body_type_and_status(opened):
    script = """
    from sagemaker_containers.beta.framework import content_types, encoders, env, modules, transformer, worker
    def model_fn(model_dir):
        return 1
    def transform_fn(model, body, content_type, accept):
        return worker.Response(encoders.encode([model, 2], accept), mimetype=content_types.CSV, status=202)
    """
    answer = ask(opened("scikit-learn", script), "x", "text/csv", "text/csv")
    assert (answer.status, text(answer), answer.headers["content-type"]) == (202, "1\n2\n", "text/csv; charset=utf-8")


def test_a_generator_is_streamed_as_it_comes(opened):
    script = """
    import time
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        def parts():
            for number in range(3):
                yield f"part {number};"
                time.sleep(0.2)
        return parts(), "text/event-stream"
    """
    container = opened("scikit-learn", script)
    with container.stream(b"x", {}, 30) as streamed:
        assert streamed.status == 200
        assert list(streamed.chunks) == [b"part 0;", b"part 1;", b"part 2;"]
    assert ask(container, "x").status == 200


def test_a_stream_that_breaks_does_not_look_finished(opened):
    script = """
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        def parts():
            yield "first"
            raise ValueError("lost the thread")
        return parts(), "text/plain"
    """
    container = opened("scikit-learn", script)
    with container.stream(b"x", {}, 30) as streamed, pytest.raises(http.client.IncompleteRead):
        list(streamed.chunks)
    assert "lost the thread" in log_of(container)


def test_a_script_may_offer_execution_parameters(opened):
    hook = "\ndef execution_parameters_fn():\n    return {'MaxPayloadInMB': 3}\n"
    assert opened("scikit-learn", SUM_FN + hook).execution_parameters() == {"MaxPayloadInMB": 3}


def test_without_that_hook_there_are_none(opened):
    assert opened("scikit-learn", SUM_FN).execution_parameters() == {}


def test_the_default_accept_comes_from_the_environment(opened):
    container = opened("scikit-learn", SUM_FN, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    assert text(ask(container, "[[1, 2]]")) == "3.0\n"


# Workers


def test_each_worker_takes_one_request_at_a_time(opened):
    script = """
    import os, time
    def model_fn(model_dir):
        return []
    def transform_fn(model, body, content_type, accept):
        model.append(1)
        time.sleep(0.3)
        return f"{os.getpid()} {len(model)}"
    """
    container = opened("scikit-learn", script, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    until(lambda: log_of(container).count("has loaded the model") == 2)
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(text(ask(container, "x")))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    processes = [answer.split()[0] for answer in answers]
    assert sorted(map(processes.count, set(processes))) == [2, 2]
    assert sorted(answer.split()[1] for answer in answers) == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("image", "status", "words"), [("scikit-learn", 504, "nginx"), ("pytorch", 500, "Worker died.")]
)
def test_a_worker_that_takes_too_long_is_killed_and_started_again(opened, image, status, words):
    script = """
    import time
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        time.sleep(float(body))
        return "done"
    """
    container = opened(image, script, SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    answer = ask(container, "60", "text/csv")
    assert answer.status == status
    assert words in text(answer)
    assert "WORKER TIMEOUT" in log_of(container)
    assert text(ask(container, "0", "text/csv")) == "done"


def test_a_worker_that_dies_takes_only_its_request_with_it(opened):
    script = """
    import os
    def model_fn(model_dir):
        return None
    def transform_fn(model, body, content_type, accept):
        if body == "die":
            os.abort()
        return "alive"
    """
    container = opened("scikit-learn", script)
    assert ask(container, "die", "text/csv").status == 502
    assert text(ask(container, "x", "text/csv")) == "alive"
    assert container.alive()


STARTER = """
import sys, time
sys.path[:0] = {folders!r}
from pathlib import Path
from prebuilt_images import Images
images = Images(Path({folder!r}))
container = images("scikit-learn", {script!r}, SAGEMAKER_MODEL_SERVER_WORKERS="2")
print(container.pid, flush=True)
container.send({body!r}, {{}}, 60)
print("answered", flush=True)
time.sleep(600)
"""
BUSY = """
import time
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    print("begun", flush=True)
    time.sleep(float(body))
    return "done"
"""


@pytest.mark.parametrize("killed", ["starter", "guard and starter", "front", "worker"])
def test_no_process_outlives_a_killed_one(tmp_path, killed):
    """The chain is starter, guard, front, workers; each death below brings the rest down, or the worker back.

    With the guard gone, a worker in the middle of a request notices too.
    """
    folders = [str(Path(__file__).parents[3]), str(Path(__file__).parent)]
    body = b"60" if killed == "guard and starter" else b"0"
    code = STARTER.format(folders=folders, folder=str(tmp_path), script=BUSY, body=body)
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    guard = psutil.Process(int(starter.stdout.readline()))
    (front,) = guard.children()
    # A worker that dies before it has loaded the model ends the front, which is another test's business.
    said = (tmp_path / "log").read_text
    until(lambda: said().count("has loaded the model") == 2 and "begun" in said())
    if body == b"0":  # a worker killed before its answer is out ends the starter with an error, and all else with it
        assert starter.stdout.readline() == "answered\n"
    family = [guard, front, *front.children()]
    dying = {"starter": [starter], "guard and starter": [guard, starter], "front": [front], "worker": family[2:3]}
    for process in dying[killed]:
        os.kill(process.pid, signal.SIGKILL)
    if killed == "worker":
        until(lambda: len(front.children()) == 2 and family[2] not in front.children())
        family += front.children()
    else:
        until(lambda: not any(alive(process) for process in family))
    starter.kill()
    starter.communicate()
    until(lambda: not any(alive(process) for process in family))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


# PyTorch


def test_pytorch_hooks_may_take_the_context(opened):
    script = """
    def model_fn(model_dir, context):
        return context.system_properties["model_dir"]
    def input_fn(body, content_type, context):
        return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
    def predict_fn(data, model, context):
        context.set_response_header(0, "X-Mine", "yes")
        return {"attributes": data}
    def output_fn(prediction, accept, context):
        return prediction
    """
    container = opened("pytorch", script)
    answer = container.send(b"x", {"X-Amzn-SageMaker-Custom-Attributes": "trace=1"}, 30)
    assert json.loads(answer.body) == {"attributes": "trace=1"}
    assert answer.headers["x-mine"] == "yes"


def test_pytorch_answers_500_with_the_traceback(opened):
    answer = ask(opened("pytorch", FOUR_HOOKS + "\ndef predict_fn(data, model):\n    raise KeyError('price')\n"), "1")
    assert answer.status == 500
    assert text(answer).startswith("'price'\nTraceback (most recent call last):")


def test_pytorch_lets_a_hook_choose_the_status(opened):
    script = (
        FOUR_HOOKS
        + """
from sagemaker_inference.errors import BaseInferenceToolkitError

def input_fn(body, content_type):
    raise BaseInferenceToolkitError(422, "no rows", "Unprocessable")
"""
    )
    answer = ask(opened("pytorch", script), "1")
    assert answer.status == 422
    assert text(answer).startswith("no rows\nTraceback")


def test_pytorch_warms_the_model_up(opened):
    script = """
    warm = []
    def model_fn(model_dir):
        return "model"
    def model_warmup_fn(model_dir, model):
        warm.append(model)
    def transform_fn(model, body, content_type, accept):
        return ",".join(warm)
    """
    assert text(ask(opened("pytorch", script), "x")) == "model"


def test_pytorch_refuses_bodies_above_the_model_servers_limit(opened):
    container = opened("pytorch", "def model_fn(d): return 0\ndef transform_fn(m, body, c, a): return str(len(body))\n")
    assert text(ask(container, bytes(6_553_500), "application/x-npy")) == "6553500"
    assert ask(container, bytes(6_553_501), "application/x-npy").status == 413


@pytest.mark.skipif(installed("torch"), reason="torch is installed here")
def test_defaults_that_need_a_missing_package_say_so(opened):
    with pytest.raises(ContainerFailed, match=r"needs torch, which is not installed .*code/requirements\.txt"):
        opened("pytorch", None, files={"model.pt": b"x"})


# Hugging Face


def test_hugging_face_hooks_run_without_transformers(opened):
    script = """
    def model_fn(model_dir):
        return lambda inputs, **parameters: [{"label": inputs, **parameters}]
    """
    answer = ask(opened("huggingface", script), '{"inputs": "né", "parameters": {"top_k": 1}}', "application/json")
    assert answer.body.decode() == '[{"label":"né","top_k":1}]'
    assert answer.headers["content-type"] == "application/json"


def test_hugging_face_answers_400_to_everything_that_goes_wrong(opened):
    script = "def model_fn(d): return 0\ndef predict_fn(data, model): raise RuntimeError('out of range')\n"
    answer = ask(opened("huggingface", script), "{}", "application/json")
    expected = {"code": 400, "type": "InternalServerException", "message": "out of range"}
    assert (answer.status, json.loads(answer.body)) == (400, expected)


def test_hugging_face_reads_csv_by_its_header(opened):
    container = opened("huggingface", "def model_fn(d): return lambda inputs: [{'text': i} for i in inputs]\n")
    answer = ask(container, "inputs\nfirst\nsecond\n", "text/csv", "text/csv")
    assert text(answer) == "text\r\nfirst\r\nsecond\r\n"
    assert "Header columns" in json.loads(ask(container, "1,2\n", "text/csv").body)["message"]


# XGBoost


@pytest.mark.skipif(installed("xgboost"), reason="xgboost is installed here")
def test_xgboost_without_its_package_says_what_to_do(opened):
    with pytest.raises(ContainerFailed, match=r"Algorithm mode of the XGBoost image needs xgboost"):
        opened("xgboost", None, files={"xgboost-model": b"{}"})
