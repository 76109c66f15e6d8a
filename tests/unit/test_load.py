import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise, product
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.switch_drill import walked
from benchmarks.switch_failures import FAILURES
from handlers.contract.modes import AVAILABLE
from turnout import load
from turnout.load import KINDS, Load, Question, Sent, cycle, fault_of, moved_once, pairs, questions_of, tour

MODES = ["batch", "precompute", "hybrid", "realtime", "serverless", "async"]
SAMPLES = {"rows": [{"id": f"k{n}", "features": {"x": n / 10}, "p": n / 3} for n in range(4)]}


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "samples.json"
    path.write_text(json.dumps(SAMPLES))
    return questions_of("m", path, key="id", prediction="p")


class Door:
    """A front door that answers as a mode promises, late if told to; `spoil` may change any answer."""

    def __init__(self, questions):
        self.mode, self.pause, self.seen, self.spoil = "batch", 0.0, [], lambda status, body: (status, body)
        self.pending: dict[str, list] = {}
        by_call = {(q.path, q.body): q for q in questions}
        door, numbers = self, count()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if "request=" in self.path:
                    self._polled(self.path.partition("request=")[2])
                else:
                    self._answer(by_call[self.path, None])

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(by_call[self.path, body])

            def _answer(self, question):
                mode = door.mode
                door.seen.append((time.monotonic(), question, dict(self.headers)))
                time.sleep(door.pause)
                promise = load.PROMISES[mode][question.kind]
                if promise.later:
                    name = str(next(numbers))
                    door.pending[name] = [mode, question, 2]
                    self._send(202, {"request": name, "mode": mode}, name)
                elif promise.status != 200:
                    self._send(promise.status, {"error": {"code": promise.code, "message": "no", "mode": mode}})
                else:
                    self._send(200, predicted(mode, question))

            def _polled(self, name):
                waiting = door.pending[name]
                waiting[2] -= 1
                if waiting[2]:
                    self._send(202, {"request": name, "mode": waiting[0]}, name)
                else:
                    self._send(200, predicted(*waiting[:2]))

            def _send(self, status, body, location=None):
                status, body = door.spoil(status, body)
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                if location:
                    self.send_header("Location", f"/models/m/predictions?request={location}")
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def predicted(mode, question):
    entries = [{"mode": mode, "prediction": value} for value in question.expected]
    return {"predictions": entries} if question.kind == load.SEVERAL else entries[0]


@pytest.fixture
def door(questions, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    found = Door(questions)
    yield found
    found.server.shutdown()
    found.server.server_close()


def sent(mode, at, answered=None, kind=load.LOOKUP, status=200, predictions=(0.5,), expected=(0.5,), **more):
    question = Question(kind, "GET", "/", None, expected)
    return Sent(
        question, at, at, at + 0.01 if answered is None else answered, status, mode,
        final=more.pop("final", status), predictions=predictions, **more,
    )  # fmt: skip


# What is promised


def test_every_mode_promises_something_to_every_kind_of_question():
    assert load.PROMISES.keys() == AVAILABLE
    assert all(promises.keys() == set(KINDS) for promises in load.PROMISES.values())


def test_samples_give_every_kind_of_question(questions):
    assert {question.kind for question in questions} == set(KINDS)
    two = next(question for question in questions if question.kind == load.SEVERAL)
    assert two.expected == (0.0, 1 / 3)
    assert [instance["key"] for instance in json.loads(two.body)["instances"]] == ["k0", "k1"]


def test_hybrid_answers_its_misses_later_only_where_its_fallback_does(tmp_path):
    path = tmp_path / "samples.json"
    path.write_text(json.dumps(SAMPLES))
    at_once, later = (
        {q.kind: q for q in questions_of("m", path, key="id", prediction="p", fallback=fallback)}
        for fallback in ("serverless", "async")
    )
    for kind, question in later.items():
        one = replace(sent("hybrid", 0, status=202, final=200, predictions=question.expected), question=question)
        assert (fault_of(one, ["hybrid"]) is None) == (kind in (load.FEATURES, load.NEWCOMER))
        assert "answered 202" in fault_of(replace(one, question=at_once[kind]), ["hybrid"])


def test_no_newcomer_is_asked_for_as_absent(questions):
    absent = {question.path.rsplit("/", 1)[1] for question in questions if question.kind == load.ABSENT}
    newcomers = {json.loads(question.body)["key"] for question in questions if question.kind == load.NEWCOMER}
    assert not absent & newcomers


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (sent("precompute", 0), None),
        (sent("batch", 0, status=409, code="not_servable_live"), None),
        (sent("precompute", 0, predictions=(0.5000000000000001,)), "predicted (0.5000000000000001,), not (0.5,)"),
        (sent("precompute", 0, predictions=()), "predicted (), not (0.5,)"),
        (sent(None, 0), "does not name the mode"),
        (sent("realtime", 0), "mode realtime answered"),
        (sent("precompute", 0, status=500, code="internal_error"), "500 internal_error"),
        (sent("precompute", 0, status=404, code="unknown_key"), "answered 404 unknown_key, not 200"),
        (sent("precompute", 0, status=202, final=200), "answered 202"),
        (sent("precompute", 0, error="ConnectionResetError()"), "no answer: ConnectionResetError()"),
        (sent("batch", 0, status=409, code="not_scored_yet"), "not 409 not_servable_live"),
    ],
)
def test_an_answer_is_held_against_what_its_mode_promises(one, says):
    fault = fault_of(one, {"batch", "precompute"})
    assert fault is None if says is None else says in fault


def test_an_accepted_request_counts_by_what_comes_after_it():
    accepted = {"kind": load.FEATURES, "status": 202}
    assert fault_of(sent("async", 0, final=200, **accepted), {"async"}) is None
    lost = sent("async", 0, final=410, code="request_expired", **accepted)
    assert "answered 410 request_expired" in fault_of(lost, {"async"})
    assert "answered 200" in fault_of(sent("async", 0, kind=load.FEATURES), {"async"})


# The move


def test_one_move_is_found_between_the_last_old_and_the_first_new():
    answers = [sent("batch", 0), sent("batch", 1), sent("precompute", 2)]
    assert moved_once(answers, "batch", "precompute") == load.Move(1, 2.01)


def test_requests_under_way_at_the_move_may_get_either():
    answers = [sent("batch", 0, 3.0), sent("precompute", 0.5, 1.0), sent("batch", 0.9, 2.0), sent("precompute", 1.1)]
    assert moved_once(answers, "batch", "precompute") == load.Move(0.9, 1.0)


def test_an_old_answer_to_a_request_sent_after_a_new_one_had_arrived_is_a_second_move():
    answers = [sent("batch", 0), sent("precompute", 1), sent("batch", 2), sent("precompute", 3)]
    assert "answered 1 requests that were sent after" in moved_once(answers, "batch", "precompute")


@pytest.mark.parametrize(("mode", "missing"), [("batch", "precompute"), ("precompute", "batch")])
def test_a_switch_that_was_not_seen_is_no_switch(mode, missing):
    assert moved_once([sent(mode, 0)], "batch", "precompute") == f"no answer of mode {missing} was seen"


# The shift

SHIFTED = [
    sent("precompute", 0),
    sent("precompute", 10),
    sent("hybrid", 11),
    sent("precompute", 12),
    sent("hybrid", 13),
    sent("precompute", 14),
]


def test_a_shift_is_both_modes_answering_in_any_order_until_one_remains():
    answers = [*SHIFTED, sent("hybrid", 21)]
    assert load.shifted(answers, "precompute", "hybrid", "hybrid", 5, 20) == load.Move(11.01, 14)


def test_a_shift_that_is_taken_back_ends_where_it_began():
    answers = [*SHIFTED, sent("precompute", 21)]
    assert isinstance(load.shifted(answers, "precompute", "hybrid", "precompute", 5, 20), load.Move)


@pytest.mark.parametrize(
    ("answers", "new", "says"),
    [
        ([*SHIFTED, sent("precompute", 21)], "hybrid", "1 requests were not answered by mode hybrid after"),
        ([*SHIFTED, sent("hybrid", 21)], "precompute", "1 requests were not answered by mode precompute after"),
        ([sent("hybrid", 1), *SHIFTED], "hybrid", "1 requests were not answered by mode precompute before"),
        ([sent("precompute", 0), sent("precompute", 21)], "precompute", "no answer of mode hybrid was seen"),
        ([sent("precompute", 6), sent("hybrid", 7)], "hybrid", "at one instant"),
    ],
)
def test_what_is_no_shift_is_said(answers, new, says):
    assert says in load.shifted(answers, "precompute", "hybrid", new, 5, 20)


def test_a_mixture_is_a_fault_unless_requests_are_shifted():
    answers = [*SHIFTED, sent("hybrid", 21)]
    running = SimpleNamespace(between=lambda begin, end: [one for one in answers if begin <= one.due < end])
    moments = {"begin": 0, "deploy": 5, "deployed": 20, "end": 30}
    at_once = load.report_of(running, "precompute", "hybrid", **moments)
    assert any("were sent after an answer" in fault for fault in at_once.faults)
    assert load.report_of(running, "precompute", "hybrid", **moments, shifted_to="hybrid").clean
    taken_back = load.report_of(running, "precompute", "precompute", **moments, shifted_to="hybrid")
    assert list(taken_back.faults) == ["1 requests were not answered by mode precompute after the shift"]
    stranger = load.report_of(running, "precompute", "precompute", **moments)
    assert any("mode hybrid answered" in fault for fault in stranger.faults)


# Under way


def test_questions_leave_on_schedule_although_answers_take_long(door, questions):
    door.pause = 0.7
    running = Load(door.url, questions, rate=40).start()
    time.sleep(1.0)
    answers = running.stop()
    assert len(answers) >= 35
    assert max(one.sent - one.due for one in answers) < 0.5
    assert all(fault_of(one, {"batch"}) is None for one in answers)
    assert min(one.latency for one in answers) >= 0.7


def test_the_same_seed_asks_the_same_in_the_same_order(door, questions):
    asked = []
    for seed in (7, 7, 8):
        running = Load(door.url, questions, rate=200, seed=seed).start()
        time.sleep(0.3)
        asked.append([one.question for one in running.stop()][:40])
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("mode", MODES)
def test_a_door_that_keeps_its_mode_s_promises_has_no_faults(door, questions, mode):
    door.mode = mode
    running = Load(door.url, questions, rate=100).start()
    time.sleep(0.5)
    answers = running.stop()
    assert {one.question.kind for one in answers} == set(KINDS)
    assert [fault for one in answers if (fault := fault_of(one, {mode}))] == []
    assert all("AWS4-HMAC-SHA256" in headers["Authorization"] for _, _, headers in door.seen)


def switched(door, questions, spoil=None):
    """Switch from precompute to async under load, and return the report."""
    door.mode = "precompute"
    running = Load(door.url, questions, rate=100).start()
    begin = time.monotonic()
    time.sleep(0.4)
    deploy = time.monotonic()
    time.sleep(0.2)
    door.mode = "async"
    if spoil:
        door.spoil = spoil
    time.sleep(0.2)
    deployed = time.monotonic()
    time.sleep(0.4)
    end = running.settle()
    running.stop()
    return load.report_of(running, "precompute", "async", begin=begin, deploy=deploy, deployed=deployed, end=end)


def test_a_clean_switch_is_reported_with_the_moment_of_the_move(door, questions):
    report = switched(door, questions)
    assert (report.faults, report.clean) == ({}, True)
    assert 0.1 < report.moved < 0.4
    assert report.before.sent + report.during.sent + report.after.sent == sum(report.statuses.values())
    assert report.statuses["202 then 200"] > 10
    assert json.loads(json.dumps(report.to_body()))["old"] == "precompute"
    console = Console(width=160, record=True)
    console.print(load.table_of([report]))
    assert "precompute → async" in console.export_text()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda status, body: (502, {"error": {"code": "model_failed", "mode": "async"}}), "502 model_failed"),
        (lambda status, body: (status, {**body, "mode": "realtime"}), "mode realtime answered"),
        (lambda status, body: (status, {**body, "prediction": 0.123}), "predicted (0.123,)"),
        (lambda status, body: (status, {}), "does not name the mode"),
    ],
)
def test_a_switch_that_breaks_a_promise_is_not_clean(door, questions, spoil, says):
    report = switched(door, questions, spoil)
    assert not report.clean
    assert any(says in fault for fault in report.faults)


def test_a_door_that_is_gone_is_a_fault_and_not_a_crash(door, questions):
    door.server.shutdown()
    door.server.server_close()
    running = Load(door.url, questions, rate=100).start()
    time.sleep(0.2)
    answers = running.stop()
    assert answers
    assert all("no answer: ConnectionRefusedError" in fault_of(one, {"batch"}) for one in answers)


# The walk


@pytest.mark.parametrize("size", [2, 3, 6])
def test_a_tour_takes_every_ordered_pair_exactly_once(size):
    modes = MODES[:size]
    walk = tour(modes)
    assert sorted(pairs(walk)) == sorted((a, b) for a, b in product(modes, modes) if a != b)
    assert walk[0] == walk[-1] == modes[0]


def test_a_tour_begins_where_it_is_told_to():
    assert tour(MODES, start="realtime")[0] == "realtime"
    assert len(pairs(tour(MODES, start="realtime"))) == 30


def test_a_cycle_visits_every_mode_once_and_comes_back():
    assert cycle(["a", "b", "c"]) == ["a", "b", "c", "a"]
    assert cycle(["a", "b", "c"], start="b") == ["b", "c", "a", "b"]


def test_percentiles_are_values_that_occurred():
    values = list(map(float, range(1, 101)))
    assert (load.percentile(values, 0.5), load.percentile(values, 0.99), load.percentile([3.0], 0.99)) == (50, 99, 3)


def test_the_drill_takes_all_thirty_switches_and_begins_where_its_stage_is_set():
    switches = walked(MODES)
    assert (switches[0][0], len(switches), len(set(switches))) == ("batch", 30, 30)
    assert all(here[1] == then[0] for here, then in pairwise(switches))
    assert walked(["realtime", "async"])[0] == ("batch", "realtime")
    assert len(walked(MODES, 4)) == 4


def test_each_failure_of_the_drill_happens_in_a_switch_that_exists():
    assert len({failure.name for failure in FAILURES}) == len(FAILURES) == 10
    assert {(failure.old, failure.new) for failure in FAILURES} <= set(walked(MODES))
    assert all(failure.survived or failure.says for failure in FAILURES)
