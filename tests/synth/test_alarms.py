"""When someone is woken, and that the runbook says what to do then."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from infra.constructs.alarms import RUNBOOK
from tests.synth.conftest import EVERY_MODE, Served, Synth, Template, entry

REPOSITORY = Path(__file__).resolve().parents[2]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("mode", "more"), [*EVERY_MODE, (None, "")])
def test_every_alarm_leads_to_a_section_of_the_runbook(mode: str | None, more: str, synth: Synth, platform: Template):
    template = synth(entry(mode=mode, more=more))["churn"] if mode else platform
    alarms = template.properties("AWS::CloudWatch::Alarm")
    assert alarms
    for alarm in alarms:
        subject, link = alarm["AlarmDescription"].split(" See ")
        assert len(subject) > 20
        page, anchor = link.split("#")
        assert page == RUNBOOK
        assert anchor in anchors(REPOSITORY / page)


def test_a_model_is_watched_from_trigger_to_answer(precompute: Template):
    watched = {(a["Namespace"], a["MetricName"]) for a in precompute.properties("AWS::CloudWatch::Alarm")}
    assert watched == {
        ("Turnout", "RunFailed"),
        ("Turnout", "DataAgeSeconds"),
        ("Turnout", "Errors"),
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionsTimedOut"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Duration"),
    }


#: Metrics that SageMaker publishes for each family of endpoints, and by which dimensions (its developer guide).
BOTH, ONE = {"EndpointName", "VariantName"}, {"EndpointName"}
PUBLISHED = {
    "realtime": {
        "Invocation5XXErrors": BOTH,
        "ModelLatency": BOTH,
    },
    "serverless": {
        "Invocation5XXErrors": BOTH,
        "ModelLatency": BOTH,
        "ServerlessConcurrentExecutionsUtilization": BOTH,
    },
    "async": {
        "InvocationFailures": BOTH,
        "ExpiredRequests": BOTH,
        "ApproximateAgeOfOldestRequest": ONE,
        "HasBacklogWithoutCapacity": ONE,
    },
}


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_endpoints_are_watched_by_metrics_that_exist_for_their_family(family: str, served: Served):
    """An alarm on a metric or a set of dimensions that nobody publishes would be silent for ever."""
    for template in (served(family), served("hybrid", f"    hybrid: {{ fallback: {family} }}\n")):
        name = template.only("AWS::SageMaker::Endpoint")["EndpointName"]
        found = {}
        for alarm in template.properties("AWS::CloudWatch::Alarm"):
            if alarm["Namespace"] == "AWS/SageMaker":
                dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
                assert dimensions.get("VariantName", "AllTraffic") == "AllTraffic"
                assert dimensions["EndpointName"] == name
                found[alarm["MetricName"]] = set(dimensions)
        assert found == PUBLISHED[family]


def test_a_slow_model_is_measured_in_microseconds(served: Served):
    alarm = served("realtime").starting_with("AlarmsEndpointSlow", "AWS::CloudWatch::Alarm")
    assert (alarm["Threshold"], alarm["ExtendedStatistic"]) == (1_000_000, "p99")


def test_requests_that_wait_for_half_of_their_time_ring(served: Served):
    alarm = served("async", "    async: { expiry: 2h }\n").starting_with(
        "AlarmsRequestsWaiting", "AWS::CloudWatch::Alarm"
    )
    assert alarm["Threshold"] == 3600


@pytest.mark.parametrize(
    ("mode", "milliseconds"),
    [("precompute", 1000), ("async", 1000), ("realtime", 2000), ("serverless", 10000), ("hybrid", 10000)],
)
def test_a_slow_front_door_is_judged_by_what_it_has_to_wait_for(mode: str, milliseconds: int, served: Served):
    alarm = served(mode).starting_with("AlarmsFrontDoorSlow", "AWS::CloudWatch::Alarm")
    assert alarm["Threshold"] == milliseconds


def test_the_alarm_that_starts_an_instance_does_so_in_every_stage_and_wakes_nobody(synth: Synth):
    for stage in ("dev", "prod"):
        template = synth(entry(mode="async"), stage_name=stage)["churn"]
        wake = template.starting_with("ServingAsyncScalingNothingRuns", "AWS::CloudWatch::Alarm")
        assert wake.get("ActionsEnabled", True) is True
        (action,) = wake["AlarmActions"]
        assert template.resources[action["Ref"]]["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy"


def test_the_alarms_on_our_own_metrics_have_the_dimensions_that_handlers_emit(precompute: Template, served: Served):
    from handlers.contract.metrics import DIMENSIONS

    alarms = served("realtime").properties("AWS::CloudWatch::Alarm")
    assert {"LiveRefused"} <= {alarm["MetricName"] for alarm in alarms}
    for alarm in alarms + precompute.properties("AWS::CloudWatch::Alarm"):
        if alarm["Namespace"] == "Turnout":
            assert [d["Name"] for d in alarm["Dimensions"]] == list(DIMENSIONS)
            assert [d["Value"] for d in alarm["Dimensions"]] == ["dev", "churn"]


def test_data_that_are_too_old_ring_and_so_does_silence(precompute: Template):
    alarm = precompute.starting_with("AlarmsStale", "AWS::CloudWatch::Alarm")
    assert (alarm["MetricName"], alarm["Threshold"]) == ("DataAgeSeconds", timedelta(days=2).total_seconds())
    assert (alarm["ComparisonOperator"], alarm["TreatMissingData"]) == ("GreaterThanThreshold", "breaching")


def test_the_first_look_at_newer_data_ends_the_alarm(precompute: Template):
    alarm = precompute.starting_with("AlarmsStale", "AWS::CloudWatch::Alarm")
    assert (alarm["Statistic"], alarm["EvaluationPeriods"]) == ("Minimum", 1)


@pytest.mark.parametrize(
    ("settings", "minutes"),
    [
        ("max_staleness: 2d", 5),
        ("max_staleness: 1h", 5),
        ("max_staleness: 59m", 1),
        ("refresh: {when_older_than: 30m}", 1),
        ("max_staleness: 300d\n    keep_scores: 300d", 5),
    ],
)
def test_a_look_that_fails_wakes_nobody_but_three_do(synth: Synth, settings: str, minutes: int):
    template = synth(entry(more=f"    {settings}\n"))["churn"]
    schedule = template.starting_with("ServingFreshnessSchedule", "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == f"rate({minutes} minute{'s' if minutes > 1 else ''})"
    alarm = template.starting_with("AlarmsStale", "AWS::CloudWatch::Alarm")
    assert alarm["Period"] == 3 * minutes * 60


@pytest.mark.parametrize(("stage", "notifies"), [("dev", False), ("prod", True)])
def test_alarms_notify_where_the_stage_says_so(synth: Synth, stage: str, notifies: bool):
    for mode, more in EVERY_MODE:
        alarms = synth(entry(mode=mode, more=more), stage_name=stage)["churn"].of_type("AWS::CloudWatch::Alarm")
        for id, alarm in alarms.items():
            if id.startswith("Alarms"):
                assert alarm["Properties"]["ActionsEnabled"] is notifies
                assert alarm["Properties"]["AlarmActions"]
