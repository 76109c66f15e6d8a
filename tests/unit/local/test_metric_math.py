"""Metric maths of alarms."""

import pytest

from turnout.local.metric_math import NotSupported, evaluate, parse

METRICS = {"m1": [1.0, 2.0, None], "m2": [10.0, 0.0, 30.0]}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("m1 + m2", [11.0, 2.0, None]),
        ("100 * m1 / m2", [10.0, None, None]),
        ("-m1", [-1.0, -2.0, None]),
        ("m1 ^ 2", [1.0, 4.0, None]),
        ("m2 > 5", [1.0, 0.0, 1.0]),
        ("m2 >= 10 AND m1 < 2", [1.0, 0.0, None]),
        ("m2 > 5 && m2 < 20 || m2 == 30", [1.0, 0.0, 1.0]),
        ("FILL(m1, 0)", [1.0, 2.0, 0.0]),
        ("FILL(m1, m2)", [1.0, 2.0, 30.0]),
        ("FILL([m2, m1], 0)", None),
        ("SUM(METRICS())", [11.0, 2.0, 30.0]),
        ("SUM([m1, m2])", [11.0, 2.0, 30.0]),
        ("AVG([m1, FILL(m1, 4)])", [1.0, 2.0, 4.0]),
        ("MAX([m1, m2]) - MIN([m1, m2])", [9.0, 2.0, 0.0]),
        ("SUM(m2)", [40.0, 40.0, 40.0]),
        ("m2 / SUM(m2)", [0.25, 0.0, 0.75]),
        ("IF(m2 > 5, m1, 7)", [1.0, 7.0, None]),
        ("IF(m2 == 0, 0, m1 / m2)", [0.1, 0.0, None]),
        ("m2 / PERIOD(m2)", [1 / 6, 0.0, 0.5]),
        ("ABS(m1 - m2)", [9.0, 2.0, None]),
        ("CEIL(m1 / 4) + FLOOR(m1 / 4)", [1.0, 1.0, None]),
        ("LOG10(m2)", [1.0, None, pytest.approx(1.477, abs=0.001)]),
        ("5", [5.0, 5.0, 5.0]),
    ],
)
def test_expressions_are_worked_out_period_by_period(expression, result):
    tree = parse(expression, list(METRICS))
    if result is None:
        with pytest.raises(NotSupported, match="several series"):
            evaluate(tree, METRICS, 60)
    else:
        assert evaluate(tree, METRICS, 60) == result


def test_repeat_fills_with_what_was_before():
    assert evaluate(parse("FILL(m, REPEAT)", ["m"]), {"m": [None, 2.0, None, 3.0, None]}, 60) == (
        [2.0, 2.0, 3.0, 3.0, None]
    )


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("ANOMALY_DETECTION_BAND(m1, 2)", "function ANOMALY_DETECTION_BAND"),
        ("SEARCH('{AWS/Lambda}', 'Sum')", "does not know"),
        ("m3 + 1", "no metric m3"),
        ("m1 +", "cannot be read"),
        ("__import__('os')", "does not know"),
        ("m1.real", "does not know"),
        ("m1[0]", "does not know"),
        ("SELECT AVG(x) FROM y", "cannot be read"),
    ],
)
def test_what_is_not_known_is_refused_by_name(expression, words):
    with pytest.raises(NotSupported, match=words):
        parse(expression, list(METRICS))
