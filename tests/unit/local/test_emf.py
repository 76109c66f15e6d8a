"""Metrics in log lines."""

import json

from turnout.local.emf import Datum, metrics_of


def line(**document):
    about = {
        "Namespace": "Turnout",
        "Dimensions": [["Stage", "Model"], ["Stage"]],
        "Metrics": [{"Name": "Hits", "Unit": "Count"}, {"Name": "Age"}],
    }
    return json.dumps({"_aws": {"Timestamp": 5000, "CloudWatchMetrics": [about]}, "Stage": "dev", **document})


def test_each_metric_is_given_for_each_set_of_dimensions():
    found = list(metrics_of(f"hello\n{line(Model='churn', Hits=1, Age=[2, 3])}\nbye"))
    assert Datum("Turnout", "Hits", {"Stage": "dev", "Model": "churn"}, "Count", [1.0], 5.0) in found
    assert Datum("Turnout", "Age", {"Stage": "dev"}, "None", [2.0, 3.0], 5.0) in found
    assert len(found) == 4


def test_metrics_without_a_value_give_nothing():
    assert {datum.name for datum in metrics_of(line(Model="churn", Hits=1))} == {"Hits"}


def test_broken_lines_are_log_lines():
    assert list(metrics_of('{"_aws": oops\n"_aws"\n{"_aws": 3}\nplain')) == []
