"""When someone is woken, and that the runbook says what to do then."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from infra.constructs.alarms import RUNBOOK, staleness_alarms
from tests.synth.conftest import Synth, Template, entry

REPOSITORY = Path(__file__).resolve().parents[2]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("part", ["platform", "churn"])
def test_every_alarm_leads_to_a_section_of_the_runbook(synth: Synth, part: str):
    alarms = synth(entry())[part].properties("AWS::CloudWatch::Alarm")
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
        ("Turnout", "RunSucceeded"),
        ("Turnout", "Errors"),
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionsTimedOut"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Duration"),
    }


def test_the_alarms_on_our_own_metrics_have_the_dimensions_that_handlers_emit(precompute: Template):
    from handlers.contract.metrics import DIMENSIONS

    for alarm in precompute.properties("AWS::CloudWatch::Alarm"):
        if alarm["Namespace"] == "Turnout":
            assert [d["Name"] for d in alarm["Dimensions"]] == list(DIMENSIONS)
            assert [d["Value"] for d in alarm["Dimensions"]] == ["dev", "churn"]


def test_no_success_within_the_limit_rings_and_no_data_counts_as_no_success(precompute: Template):
    alarm = precompute.starting_with("AlarmsNoSuccess", "AWS::CloudWatch::Alarm")
    assert alarm["Period"] * alarm["EvaluationPeriods"] == timedelta(days=2).total_seconds()
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"


@pytest.mark.parametrize(
    "staleness", [timedelta(minutes=1), timedelta(minutes=90), timedelta(hours=25), timedelta(days=7)]
)
def test_the_staleness_alarm_stays_within_what_cloudwatch_looks_back(staleness: timedelta):
    (alarm,) = staleness_alarms(stage="dev", model="churn", max_staleness=staleness)
    limit = timedelta(days=1) if alarm.period_seconds < 3600 else timedelta(days=7)
    assert timedelta(seconds=alarm.period_seconds * alarm.periods) <= min(limit, staleness)


def test_a_limit_beyond_what_cloudwatch_looks_back_is_said_to_be_unwatched(synth: Synth):
    assembly = synth(entry(more="    max_staleness: 8d\n    keep_scores: 30d\n"))
    assert not [id for id in assembly["churn"].resources if id.startswith("AlarmsNoSuccess")]
    assert "no alarm watches it" in (assembly.outdir / "turnout-dev-churn.metadata.json").read_text()


@pytest.mark.parametrize(("stage", "notifies"), [("dev", False), ("prod", True)])
def test_alarms_notify_where_the_stage_says_so(synth: Synth, stage: str, notifies: bool):
    for alarm in synth(entry(), stage_name=stage)["churn"].properties("AWS::CloudWatch::Alarm"):
        assert alarm["ActionsEnabled"] is notifies
        assert alarm["AlarmActions"]
