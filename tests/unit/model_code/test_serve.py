"""The container's contract with SageMaker, checked on the real process."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ECHO = """
def model_fn(model_dir):
    return "m"

def transform_fn(model, body, content_type, accept):
    return f"{type(body).__name__} {content_type} {accept} {len(body)}"
"""

# Waits for the file named by GATE, at the moment that the test chooses by the function's name.
GATED = """
import os, time

def wait_for_gate():
    open(os.environ["GATE"] + ".reached", "w").close()
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
"""
SLOW_LOAD = (
    GATED
    + """
def model_fn(model_dir):
    wait_for_gate()

def transform_fn(model, body, content_type, accept):
    return "done"
"""
)
SLOW_PREDICT = (
    GATED
    + """
def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    wait_for_gate()
    return "done"
"""
)


class Later(threading.Thread):
    """A request sent in the background."""

    def __init__(self, container, body):
        super().__init__(daemon=True)
        self.container, self.body, self.response = container, body, None
        self.start()

    def run(self):
        self.response = self.container.post(self.body)


@pytest.fixture
def gate(tmp_path) -> Path:
    return tmp_path / "gate"


def reached(gate: Path) -> bool:
    return gate.with_suffix(".reached").exists()


def error_of(response) -> dict:
    return json.loads(response.body)["error"]


def raw_exchange(container, sent: bytes) -> bytes:
    """Return all that comes back for these bytes, after which the sender says nothing more."""
    with socket.create_connection(("127.0.0.1", container.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_ping_is_503_until_the_model_is_loaded_and_200_from_then_on(start, gate):
    container = start(SLOW_LOAD).listening()
    container.until(lambda: reached(gate), "the start of loading")
    assert container.ping() == 503
    assert error_of(container.post("x"))["code"] == "not_ready"
    assert container.request("GET", "/execution-parameters").status == 200
    gate.touch()
    assert container.ready().ping() == 200
    assert container.post("x").text == "done"


def test_ping_waits_for_the_warm_up_prediction(start, gate):
    container = start(GATED + "model_fn = lambda d: 'm'\ndef model_warmup_fn(d, model): wait_for_gate()\n").listening()
    container.until(lambda: reached(gate), "the warm-up")
    assert container.ping() == 503
    gate.touch()
    assert container.ready().ping() == 200


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def model_fn(model_dir): raise OSError('model.joblib is damaged')", "OSError: model.joblib is damaged"),
        ("model_fn = lambda d: 1\ndef model_warmup_fn(d, m): 1 / 0", "ZeroDivisionError"),
        ("import not_installed_anywhere", "No module named 'not_installed_anywhere'"),
        ("def predict_fn(data, model): return data", "has no model_fn"),
        ("model_fn = lambda d: 1\ntransform_fn = input_fn = lambda *a: 1", "has transform_fn and input_fn"),
        (None, "inference.py does not exist"),
    ],
)
def test_a_model_that_cannot_load_ends_the_process_and_the_log_says_why(start, script, reason):
    container = start(script)
    assert container.exit_code() == 1
    assert reason in container.log
    assert "ready" not in container.log


@pytest.mark.parametrize(
    ("name", "text"), [("SAGEMAKER_MODEL_SERVER_WORKERS", "many"), ("SAGEMAKER_BIND_TO_PORT", "99999")]
)
def test_a_wrong_environment_ends_the_process_naming_the_variable(start, name, text):
    container = start(ECHO, **{name: text})
    assert container.exit_code() == 1
    assert f"{name} is '{text}'" in container.log
    assert "Traceback" not in container.log


def test_a_taken_port_ends_the_process_naming_it(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        container = start(ECHO, SAGEMAKER_BIND_TO_PORT=str(port))
        assert container.exit_code() == 1
    assert f"cannot listen on 127.0.0.1:{port}" in container.log


def test_execution_parameters_say_what_the_server_really_does(start):
    container = start(ECHO).ready()
    told = json.loads(container.request("GET", "/execution-parameters").body)
    assert told == {
        "MaxConcurrentTransforms": len(os.sched_getaffinity(0)),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


def test_execution_parameters_follow_the_environment(start):
    container = start(
        ECHO,
        SAGEMAKER_BATCH="true",
        SAGEMAKER_MODEL_SERVER_WORKERS="3",
        SAGEMAKER_BATCH_STRATEGY="SINGLE_RECORD",
        SAGEMAKER_MAX_PAYLOAD_IN_MB="20",
    ).ready()
    told = json.loads(container.request("GET", "/execution-parameters").body)
    assert told == {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 20}


@pytest.mark.parametrize(
    ("content_type", "received"),
    [
        ("text/csv", "str"),
        ("application/json", "str"),
        ("application/jsonlines", "bytes"),
        ("application/octet-stream", "bytes"),
        ("text/csv; charset=utf-8", "bytes"),
    ],
)
def test_the_script_gets_text_for_csv_and_json_and_bytes_for_the_rest_as_on_aws(start, content_type, received):
    response = start(ECHO).ready().post("é", Content_Type=content_type, Accept="text/csv")
    assert response.text == f"{received} {content_type} text/csv {1 if received == 'str' else 2}"
    assert response.headers["Content-Type"] == "text/csv"


def test_types_that_the_caller_leaves_out_are_json_or_what_the_environment_says(start):
    assert start(ECHO).ready().post("1", Accept="*/*").text == "str application/json application/json 1"
    container = start(ECHO, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv").ready()
    assert container.post("1").text == "str application/json text/csv 1"


def test_the_program_and_its_neighbours_are_found_in_the_code_folder(start, tmp_path):
    code = tmp_path / "model/code"
    code.mkdir(parents=True)
    (code / "neighbour.py").write_text("answer = 'from next door'")
    (code / "score.py").write_text(
        "import neighbour\nmodel_fn = lambda d: d\n"
        "transform_fn = lambda m, b, c, a: (neighbour.answer + ' ' + m, 'x/y')"
    )
    response = start(SAGEMAKER_PROGRAM="score.py").ready().post("1")
    assert response.text == f"from next door {tmp_path / 'model'}"
    assert response.headers["Content-Type"] == "x/y"


REFUSING = """
class Unsupported(Exception):
    status_code = 415

def model_fn(model_dir):
    return {}

def input_fn(body, content_type):
    if content_type != "text/csv":
        raise Unsupported("csv only")
    return float(body)

def predict_fn(data, model):
    return model["no such member"] if data < 0 else data

def output_fn(prediction, accept):
    return b"%r" % prediction if accept == "text/csv" else object()
"""


def test_refusals_carry_status_code_and_reason(start):
    container = start(REFUSING).ready()
    csv = {"Content_Type": "text/csv", "Accept": "text/csv"}
    assert container.post("1.5", **csv).text == "1.5"
    wrong_type = container.post("1.5", Content_Type="text/plain")
    assert (wrong_type.status, error_of(wrong_type)) == (
        415,
        {"code": "unsupported_content_type", "message": "csv only"},
    )
    bad_body = container.post("one", **csv)
    assert (bad_body.status, error_of(bad_body)["code"]) == (400, "bad_body")
    not_utf8 = container.post(b"\xff", **csv)
    assert (not_utf8.status, error_of(not_utf8)["code"]) == (400, "bad_body")


def test_a_fault_of_the_model_is_500_with_the_traceback_in_the_log_only(start):
    container = start(REFUSING).ready()
    response = container.post("-1", Content_Type="text/csv", Accept="text/csv")
    assert response.status == 500
    assert error_of(response)["code"] == "model_error"
    assert "no such member" not in response.text
    assert "KeyError: 'no such member'" in container.log
    unwritable = container.post("1", Content_Type="text/csv", Accept="application/json")
    assert unwritable.status == 500
    assert "it has to return text or bytes" in container.log
    assert container.ping() == 200


def test_default_hooks_refuse_what_they_cannot_read_or_write(start):
    script = "class M:\n    predict = staticmethod(lambda data: data.sum(axis=1))\nmodel_fn = lambda d: M"
    container = start(script).ready()
    assert container.post("[[1, 2], [3, 4]]").text == "[3.0, 7.0]"
    assert container.post("[[1, 2], [3, 4]]", Accept="text/csv").text == "3.0\n7.0\n"
    assert container.post("1,2\n", Content_Type="application/jsonlines").status == 415
    assert container.post("[[1, 2]]", Accept="application/jsonlines").status == 406
    assert container.post("[[1, 2", Accept="text/csv").status == 400


def test_one_connection_carries_many_requests(start):
    connection = start(ECHO).ready().connect()
    sockets = set()
    for _ in range(3):
        connection.request("POST", "/invocations", "12", {"Content-Type": "text/csv"})
        assert connection.getresponse().read() == b"str text/csv application/json 2"
        sockets.add(connection.sock.getsockname())
    connection.request("POST", "/nowhere", "a body that has to be read before the next request")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (404, "unknown_path")
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    assert sockets == {connection.sock.getsockname()}


def test_chunked_bodies_are_put_together(start):
    connection = start(ECHO).ready().connect()
    connection.request(
        "POST", "/invocations", iter([b"abc", b"defg"]), {"Content-Type": "text/csv"}, encode_chunked=True
    )
    assert connection.getresponse().read() == b"str text/csv application/json 7"


def test_a_body_larger_than_any_synchronous_endpoint_takes_is_read_whole(start):
    container = start(ECHO).ready()
    size = 30 * 2**20
    assert container.post(b"x" * size, Content_Type="application/octet-stream").text.endswith(f" {size}")


@pytest.mark.parametrize(("size", "refused"), [(2**30, False), (2**30 + 1, True)])
def test_a_body_over_a_gigabyte_is_refused_and_one_of_a_gigabyte_is_not(start, size, refused):
    answer = raw_exchange(start(ECHO).ready(), b"POST /invocations HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
    assert (b"413" in answer, b"too_large" in answer) == (refused, refused)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\n\r\n", 411, "length_required"),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_chunk"),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404, "unknown_path"),
        (b"BREW /ping HTTP/1.1\r\n\r\n", 501, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n", 400, "bad_request"),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * 20_000, 431, "bad_request"),
    ],
)
def test_malformed_requests_are_answered_in_json_and_do_no_harm(start, raw, status, code):
    container = start(ECHO).ready()
    answer = raw_exchange(container, raw)
    assert b'"code": "%s"' % code.encode() in answer
    if answer.startswith(b"HTTP/1.1"):  # a request line without a version is answered as HTTP/0.9: body only
        assert answer.split()[1] == str(status).encode()
    assert container.ping() == 200


def test_pings_are_answered_while_every_thread_predicts(start, gate):
    container = start(SLOW_PREDICT, SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MODEL_SERVER_TIMEOUT="1").ready()
    running = Later(container, "first")
    container.until(lambda: reached(gate), "the first prediction")
    assert container.ping() == 200
    waiting = container.post("second")
    assert (waiting.status, error_of(waiting)["code"]) == (503, "busy")
    gate.touch()
    running.join(30)
    assert running.response.text == "done"


def until_read(container):
    """Wait until the server has taken up all that was sent on connections that stood already: two turns later."""
    for _ in range(2):
        assert container.ping() == 200


ROW_BY_ROW = (
    GATED
    + """
import numpy as np
sizes = []

def model_fn(model_dir):
    return np.array([0.5, 0.25])

def predict_fn(data, model):
    sizes.append(len(data))
    if len(sizes) == 1:
        wait_for_gate()
    if (data == 13).any():
        raise KeyError("thirteen")
    return (data * model).sum(axis=1)

def output_fn(prediction, accept):
    return f"{prediction.tolist()} of {sizes[-1]}"

ROW_BY_ROW = True
"""
)


def answers_behind_a_first(container, gate, bodies):
    """Return the answers to bodies that waited while a first request held the only thread."""
    connections = [container.connect() for _ in bodies]
    for connection in connections:
        connection.connect()
    first = Later(container, "[[1, 1]]")
    container.until(lambda: reached(gate), "the first prediction")
    for connection, body in zip(connections, bodies, strict=True):
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    until_read(container)
    gate.touch()
    first.join(30)
    return [((answer := connection.getresponse()).status, answer.read().decode()) for connection in connections]


def test_requests_that_wait_share_a_prediction_and_each_gets_its_own_rows(start, gate):
    container = start(ROW_BY_ROW, SAGEMAKER_MODEL_SERVER_WORKERS="1").ready()
    answers = answers_behind_a_first(container, gate, ["[[2, 2]]", "[[3, 3], [4, 4]]", "[[0, 1]]"])
    assert answers == [(200, "[1.5] of 4"), (200, "[2.25, 3.0] of 4"), (200, "[0.25] of 4")]
    container.until(lambda: "3 x POST /invocations 200" in container.log, "one line for all three")


def test_a_bad_request_among_those_that_wait_harms_itself_only(start, gate):
    container = start(ROW_BY_ROW, SAGEMAKER_MODEL_SERVER_WORKERS="1").ready()
    answers = answers_behind_a_first(container, gate, ["[[2, 2]]", "[[13, 1]]", "[[3", "[[0, 1]]", "[[1, 2, 3]]"])
    assert [status for status, _ in answers] == [200, 500, 400, 200, 500]
    assert [answers[0][1], answers[3][1]] == ["[1.5] of 1", "[0.25] of 1"]


def test_a_script_that_does_not_say_so_predicts_each_request_alone(start, gate):
    script = ROW_BY_ROW.replace("ROW_BY_ROW = True", "")
    container = start(script, SAGEMAKER_MODEL_SERVER_WORKERS="1").ready()
    answers = answers_behind_a_first(container, gate, ["[[2, 2]]", "[[0, 1]]"])
    assert answers == [(200, "[1.5] of 1"), (200, "[0.25] of 1")]


def test_more_than_may_wait_are_told_at_once_when_to_come_again(start, gate):
    container = start(SLOW_PREDICT, SAGEMAKER_MODEL_SERVER_WORKERS="1", TURNOUT_MAX_WAITING="2").ready()
    running = [Later(container, "in the thread")]
    container.until(lambda: reached(gate), "the first prediction")
    waiting = [container.connect() for _ in range(2)]
    for connection in waiting:
        connection.request("POST", "/invocations", "waits")
    until_read(container)
    refused = container.post("one too many")
    assert (refused.status, error_of(refused)["code"]) == (503, "busy")
    assert refused.headers["Retry-After"] == "1"
    gate.touch()
    running[0].join(30)
    assert [connection.getresponse().read() for connection in waiting] == [b"done", b"done"]
    assert container.post("there is room again").text == "done"


def test_hundreds_of_callers_at_once_are_all_answered_and_none_harms_the_server(start):
    container = start(ECHO, TURNOUT_MAX_WAITING="50").ready()
    connections = [container.connect() for _ in range(300)]
    for connection in connections:
        connection.request("POST", "/invocations", "x" * 1000)
    statuses = [connection.getresponse().status for connection in connections]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 50
    assert container.post("12").status == 200


def test_requests_sent_ahead_are_answered_in_their_order(start):
    one = b"POST /invocations HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n%s"
    sent = b"".join(one % (size, b"x" * size) for size in (3, 1, 40_000, 2)) + b"GET /ping HTTP/1.1\r\n\r\n"
    answer = raw_exchange(start(ECHO).ready(), sent)
    assert re.findall(rb"application/json (\d+)", answer) == [b"3", b"1", b"40000", b"2"]
    assert answer.count(b"HTTP/1.1 200 OK") == 5


def test_a_caller_who_asks_first_is_told_to_go_ahead(start):
    container = start(ECHO).ready()
    with socket.create_connection(("127.0.0.1", container.port), timeout=10) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert b"200 OK" in connection.recv(1000)


def test_a_body_that_stops_arriving_is_refused(start):
    container = start(ECHO, SAGEMAKER_MODEL_SERVER_TIMEOUT="1").ready()
    with socket.create_connection(("127.0.0.1", container.port), timeout=10) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in answer


def test_a_script_without_a_warm_up_is_warmed_up_with_a_row_of_zeros(start):
    script = """
import numpy as np
class Model:
    n_features_in_ = 3
    def predict(self, data):
        print("predicted", data.tolist())
        return data.sum(axis=1)
model_fn = lambda d: Model()
"""
    container = start(script).ready()
    log = container.log
    assert log.index("predicted [[0.0, 0.0, 0.0]]") < log.index("ready:")


def test_a_script_with_transform_fn_is_warmed_up_with_a_line_of_zeros_through_it(start):
    script = """
class Model:
    n_features_in_ = 3
def transform_fn(model, body, content_type, accept):
    print("predicted", repr(body), content_type, accept)
    return "0.5"
model_fn = lambda d: Model()
"""
    log = start(script).ready().log
    assert log.index(r"predicted '0.0,0.0,0.0\n' text/csv text/csv") < log.index("ready:")


def test_a_transform_fn_that_cannot_take_the_guessed_line_serves_all_the_same(start):
    script = """
import json
class Model: n_features_in_ = 3
transform_fn = lambda model, body, content_type, accept: str(json.loads(body)["x"])
model_fn = lambda d: Model()
"""
    container = start(script).ready()
    assert "no warm-up: a row of 3 zeros fails" in container.log
    assert container.post('{"x": 7}', Content_Type="application/json").text == "7"


def test_a_script_that_cannot_take_the_guessed_row_serves_all_the_same(start):
    script = "class Model: n_features_in_ = 3\nmodel_fn = lambda d: Model()\npredict_fn = lambda data, model: data['x']"
    container = start(script).ready()
    assert "no warm-up: a row of 3 zeros fails" in container.log


@pytest.mark.parametrize("hooks", ["sagemaker", "columnar"])
def test_json_nested_too_deeply_is_the_callers_fault(start, hooks):
    script = "def model_fn(model_dir):\n    return None\n"
    container = start(script, TURNOUT_HOOKS=hooks).ready()
    answer = container.post("[" * 60_000, Content_Type="application/json")
    assert (answer.status, error_of(answer)["code"]) == (400, "bad_body")
    assert "nested too deeply" in answer.text


def test_columnar_hooks_serve_parquet_in_and_out(start):
    script = "class M:\n    predict = staticmethod(lambda data: data[:, 0] - data[:, 1])\nmodel_fn = lambda d: M"
    container = start(script, TURNOUT_HOOKS="columnar", TURNOUT_FEATURES="a,b").ready()
    stream = io.BytesIO()
    pq.write_table(pa.table({"b": [1.0, 2.0], "key": ["x", "y"], "a": [1.5, 9.0]}), stream)
    kind = "application/vnd.apache.parquet"
    answer = container.post(stream.getvalue(), Content_Type=kind, Accept=kind)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert pq.read_table(io.BytesIO(answer.body)).to_pydict() == {"prediction": [0.5, 7.0]}
    assert container.post("1.5,1\n", Content_Type="text/csv", Accept="text/csv").text == "0.5\n"
    assert container.post("1.5\n", Content_Type="text/csv").status == 400


def test_sigterm_finishes_what_is_in_flight_takes_nothing_new_and_exits_0(start, gate):
    container = start(SLOW_PREDICT).ready()
    idle = container.connect()
    idle.request("GET", "/ping")
    idle.getresponse().read()  # a connection kept open must not hold up the end
    running = Later(container, "in flight")
    container.until(lambda: reached(gate), "the prediction")
    container.process.send_signal(signal.SIGTERM)
    container.until(lambda: not container.accepts(), "the end of new connections")
    with pytest.raises(subprocess.TimeoutExpired):
        container.process.wait(timeout=0.3)
    idle.request("GET", "/ping")
    assert idle.getresponse().headers["Connection"] == "close"
    gate.touch()
    running.join(30)
    assert (running.response.status, running.response.text) == (200, "done")
    assert running.response.headers["Connection"] == "close"
    assert container.exit_code() == 0
    assert "stopped" in container.log


def test_sigterm_while_loading_exits_0_at_once(start, gate):
    container = start(SLOW_LOAD).listening()
    container.until(lambda: reached(gate), "the start of loading")
    container.process.send_signal(signal.SIGTERM)
    assert container.exit_code() == 0


def test_log_lines_appear_when_they_happen(start):
    container = start(
        "model_fn = lambda d: 1\ndef transform_fn(m, b, c, a):\n    print('seen', b)\n    return 'x'"
    ).ready()
    container.post("42")
    container.until(lambda: "seen 42" in container.log, "the script's own line")
    container.until(lambda: "POST /invocations 200 2 bytes in, 1 out" in container.log, "the server's line")
    assert container.process.poll() is None
