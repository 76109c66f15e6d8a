"""Requests answered together get the bytes that each would get alone."""

import json

import joblib
import numpy as np
import pytest
from serving_columns import Columns
from serving_forest import quicken
from serving_script import Answer, ModelScript, Refused, Request
from sklearn.ensemble import RandomForestClassifier

FOREST = """
import joblib

ROW_BY_ROW = True

def model_fn(model_dir):
    return joblib.load(model_dir + "/model.joblib")

def predict_fn(data, model):
    return model.predict_proba(data)[:, 1]
"""


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    """A folder with a forest and its script."""
    folder = tmp_path_factory.mktemp("forest")
    random = np.random.default_rng(0)
    rows = random.normal(size=(800, 6))
    joblib.dump(RandomForestClassifier(50, random_state=0).fit(rows, rows[:, 0] > 0), folder / "model.joblib")
    (folder / "code").mkdir()
    (folder / "code/forest_script.py").write_text(FOREST)
    return folder


def alone_and_together(script, requests):
    assert script.row_by_row
    return [script.invoke(request) for request in requests], script.invoke_all(requests)


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_a_forest_answers_requests_together_to_the_last_bit_as_alone(forest, in_a_loop):
    script = ModelScript.load(forest, "forest_script", Columns())
    if in_a_loop:
        assert quicken(script.model)
    rows = np.random.default_rng(1).normal(size=(100, 6)).tolist()
    requests = [
        Request(json.dumps([row] * (1 + row_number % 3)).encode(), "application/json", "text/csv")
        for row_number, row in enumerate(rows)
    ]
    alone, together = alone_and_together(script, requests)
    assert together == alone
    assert len({answer.body for answer in alone}) > 20


def test_the_sample_model_answers_requests_together_to_the_last_bit_as_alone(trained):
    script = ModelScript.load(trained, "inference")
    rows = [row["features"] for row in json.loads((trained / "sample_payloads.json").read_text())["rows"]]
    requests = [Request(json.dumps([row]).encode(), "application/json", "application/json") for row in rows]
    requests += [Request(",".join(map(str, row.values())).encode(), "text/csv", "text/csv") for row in rows]
    alone, together = alone_and_together(script, requests)
    assert together == alone


def test_whoever_sent_bad_rows_is_refused_and_the_others_are_answered_together(forest):
    script = ModelScript.load(forest, "forest_script", Columns())
    calls = []
    own = script.hooks.predict_fn
    object.__setattr__(script.hooks, "predict_fn", lambda data, model: calls.append(len(data)) or own(data, model))
    good = Request(json.dumps([[0.5] * 6]).encode(), "application/json", "text/csv")
    bad = Request(b"[[1, 2", "application/json", "text/csv")
    unwritable = Request(good.body, "application/json", "text/plain")
    outcomes = script.invoke_all([good, bad, unwritable, good])
    assert calls == [3]
    assert isinstance(outcomes[0], Answer)
    assert outcomes[0] == outcomes[3]
    assert [outcomes[1].status, outcomes[2].status] == [400, 406]
    assert all(isinstance(outcome, Refused) for outcome in outcomes[1:3])


def test_rows_of_different_widths_are_not_put_together(forest):
    script = ModelScript.load(forest, "forest_script", Columns())
    good = Request(json.dumps([[0.5] * 6]).encode(), "application/json", "text/csv")
    narrow = Request(b"[[1, 2]]", "application/json", "text/csv")
    outcomes = script.invoke_all([good, narrow])
    assert isinstance(outcomes[0], Answer)
    assert isinstance(outcomes[1], ValueError)
