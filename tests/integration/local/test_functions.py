"""Lambda, HTTP API, metrics and alarms of the local cloud, where they were made to act as on AWS."""

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import executed, function, random_name, state_machine, wait_until
from turnout.local import control

pytestmark = pytest.mark.local_only("it is about how the local cloud runs functions")

MOVES = 4
ECHO = """
import json
def handler(event, context):
    keys = ("routeKey", "rawPath", "pathParameters", "rawQueryString", "version")
    body = {k: event.get(k) for k in keys} | {"body": event.get("body")}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
"""


@pytest.fixture(scope="session")
def api(client, stand_in_cloud):
    """An HTTP API with the platform's kinds of routes, all answered with what the function received."""
    gateway, arn = client("apigatewayv2"), function(client, ECHO)
    api_id = gateway.create_api(Name=random_name("api"), ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    for route, auth in (
        ("GET /models/{model}", "NONE"),
        ("GET /models/{model}/predictions/{key+}", "NONE"),
        ("POST /models/{model}/predictions", "AWS_IAM"),
        ("$default", "NONE"),
    ):
        gateway.create_route(ApiId=api_id, RouteKey=route, Target=f"integrations/{integration}", AuthorizationType=auth)
    gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    return control.api_url(stand_in_cloud, f"https://{api_id}.execute-api.us-east-1.amazonaws.com")


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("plain", "plain"),
        ("00001", "00001"),
        ("a/b/c", "a/b/c"),
        ("a%2Fb", "a/b"),
        ("%C3%BC%E2%82%AC", "ü€"),
        ("a%20b+c", "a b+c"),
        ("100%25", "100%25"),
        ("%252F", "%252F"),
    ],
)
def test_a_greedy_key_arrives_decoded_once_but_for_the_percent_sign(api, path, key):
    status, event = ask(f"{api}/models/churn/predictions/{path}")
    assert status == 200
    assert event["version"] == "2.0"
    assert event["routeKey"] == "GET /models/{model}/predictions/{key+}"
    assert event["rawPath"] == f"/models/churn/predictions/{key}"
    assert event["pathParameters"] == {"model": "churn", "key": key}


def test_unclaimed_routes_reach_the_default_route(api):
    assert ask(f"{api}/nothing/here")[1]["routeKey"] == "$default"
    assert ask(f"{api}/models/churn?x=1")[1]["rawQueryString"] == "x=1"


def test_a_route_with_iam_needs_an_authorization_header(api):
    url = f"{api}/models/churn/predictions"
    headers = {"content-type": "application/json"}
    assert ask(url, b"{}", **headers) == (403, {"message": "Forbidden"})
    status, event = ask(url, b'{"key": 1}', authorization="AWS4-HMAC-SHA256 Credential=x/y", **headers)
    assert (status, event["body"]) == (200, '{"key": 1}')


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"x" * 3_200_000, "text/plain", 200),
        (b'"' * 3_200_000, "text/plain", 413),  # each is two bytes of the event's JSON
        (b"x" * 4_800_000, "application/octet-stream", 413),  # base64 makes four of three
    ],
    ids=["plain", "quotes", "base64"],
)
def test_a_request_whose_event_is_larger_than_lambda_takes_never_reaches_the_function(api, body, kind, status):
    answered, event = ask(f"{api}/nothing/here", body, **{"content-type": kind})
    assert answered == status
    assert event == {"message": "Request Too Long"} if status == 413 else event["body"] == body.decode()


def test_a_warm_function_answers_in_milliseconds(api):
    url = f"{api}/models/churn"
    times = []
    for _ in range(30):
        started = time.perf_counter()
        ask(url)
        times.append(time.perf_counter() - started)
    assert sorted(times)[15] < 0.04  # the plain emulator waits 50 ms for logs


def test_an_error_reaches_step_functions_by_its_own_name(client):
    arn = function(client, "class TooManyBadRows(Exception): pass\ndef handler(e, c): raise TooManyBadRows('12 rows')")
    states = {
        "Do": {
            "Type": "Task",
            "Resource": arn,
            "End": True,
            "Catch": [{"ErrorEquals": ["TooManyBadRows"], "Next": "Bad"}],
        },
        "Bad": {"Type": "Pass", "End": True},
    }
    execution = executed(client, state_machine(client, {"StartAt": "Do", "States": states}))
    assert execution["status"] == "SUCCEEDED"
    cause = json.loads(json.loads(execution["output"])["Cause"])
    assert (cause["errorType"], cause["errorMessage"]) == ("TooManyBadRows", "12 rows")


MODE = "import os, time\ndef handler(e, c):\n    time.sleep(0.02)\n    return os.environ['MODE']"


def settings(arn: str, mode: str) -> dict:
    return {"FunctionName": arn, "Environment": {"Variables": {"MODE": mode}}}


def open_loop(client, function_name: str, stop: threading.Event, per_second: float = 20) -> list[tuple]:
    """Send requests at a fixed rate until `stop`; return `(error, answer)` of each, in the order of sending."""

    def call() -> tuple:
        answer = client("lambda").invoke(FunctionName=function_name)
        return answer.get("FunctionError"), json.load(answer["Payload"])

    sent, started = [], time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        while not stop.is_set():
            sent.append(pool.submit(call))
            stop.wait(max(started + len(sent) / per_second - time.monotonic(), 0))
        return [each.result() for each in sent]


def test_updates_under_load_lose_no_request(client):
    arn = function(client, MODE, Environment={"Variables": {"MODE": "m0"}})
    client("lambda").invoke(FunctionName=arn)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(open_loop, client, arn, stop)
        for number in (1, 2, 3):
            time.sleep(0.5)
            client("lambda").update_function_configuration(**settings(arn, f"m{number}"))
        wait_until(lambda: json.load(client("lambda").invoke(FunctionName=arn)["Payload"]) == "m3")
        stop.set()
        answers = answers.result()
    assert [answer for answer in answers if answer[0]] == []
    assert {mode for _, mode in answers} <= {"m0", "m1", "m2", "m3"}
    assert answers[0][1] == "m0"


def test_an_alias_moves_between_versions_under_load_without_losing_a_request(client):
    arn = function(client, MODE, Environment={"Variables": {"MODE": "1"}})
    lambda_ = client("lambda")
    version = lambda_.publish_version(FunctionName=arn)["Version"]
    alias = lambda_.create_alias(FunctionName=arn, Name="live", FunctionVersion=version)["AliasArn"]
    lambda_.invoke(FunctionName=alias)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(open_loop, client, alias, stop)
        for number in range(2, 2 + MOVES):
            lambda_.update_function_configuration(**settings(arn, str(number)))
            version = lambda_.publish_version(FunctionName=arn)["Version"]
            lambda_.update_alias(FunctionName=arn, Name="live", FunctionVersion=version)
            wait_until(lambda n=number: json.load(lambda_.invoke(FunctionName=alias)["Payload"]) == str(n))
            time.sleep(1)
        stop.set()
        answers = answers.result()
    assert [answer for answer in answers if answer[0]] == []
    modes = [int(mode) for _, mode in answers]
    assert len(modes) >= 20 * MOVES
    assert set(modes) == set(range(1, 2 + MOVES))


def test_a_burst_is_answered_by_several_environments(client):
    arn = function(client, "import os, time\ndef handler(e, c):\n    time.sleep(0.5)\n    return os.getpid()")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: json.load(client("lambda").invoke(FunctionName=arn)["Payload"]), range(8)))
    assert 2 <= len(set(answers)) <= 4


def test_every_log_line_is_there_after_the_answer(client):
    arn = function(client, "def handler(e, c):\n    for i in range(50): print('line', i)")
    for _ in range(3):
        client("lambda").invoke(FunctionName=arn)
    events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{arn.rpartition(':')[2]}")["events"]
    lines = [e["message"] for e in events]
    assert sum(line.startswith("line ") for line in lines) == 150
    assert not any("TURNOUT-END" in line for line in lines)


def metric_sum(client, namespace: str, name: str, **dimensions: str) -> float:
    now = time.time()
    points = client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()],
        StartTime=now - 3600,
        EndTime=now + 60,
        Period=7200,
        Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def test_embedded_metrics_become_cloudwatch_metrics(client):
    model = random_name("model")
    code = f"""
import json, time
def handler(event, context):
    metrics = [{{"Name": "Requests", "Unit": "Count"}}]
    about = {{"Namespace": "Turnout", "Dimensions": [["Stage", "Model"]], "Metrics": metrics}}
    print(json.dumps({{"_aws": {{"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [about]}},
                      "Stage": "dev", "Model": "{model}", "Requests": 2}}))
"""
    client("lambda").invoke(FunctionName=function(client, code))
    assert metric_sum(client, "Turnout", "Requests", Stage="dev", Model=model) == 2


def test_requests_through_the_api_count_for_function_and_api(client, api):
    api_id = api.split("/execute-api/")[1].split("/")[0]
    before = metric_sum(client, "AWS/ApiGateway", "Count", ApiId=api_id)
    for _ in range(3):
        ask(f"{api}/models/churn")
    assert metric_sum(client, "AWS/ApiGateway", "Count", ApiId=api_id) == before + 3
    name = client("apigatewayv2").get_integrations(ApiId=api_id)["Items"][0]["IntegrationUri"].rpartition(":")[2]
    assert metric_sum(client, "AWS/Lambda", "Invocations", FunctionName=name) >= 3
    assert metric_sum(client, "AWS/Lambda", "Errors", FunctionName=name) == 0


def test_a_crash_behind_the_api_is_a_5xx_and_an_error(client, stand_in_cloud):
    arn = function(client, "import os\ndef handler(event, context): os._exit(3)")
    gateway = client("apigatewayv2")
    api_id = gateway.create_api(Name=random_name("api"), ProtocolType="HTTP", Target=arn)["ApiId"]
    integration = gateway.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    gateway.create_route(ApiId=api_id, RouteKey="$default", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    assert ask(f"{control.api_url(stand_in_cloud, api_id)}/x")[0] >= 500
    assert metric_sum(client, "AWS/ApiGateway", "5xx", ApiId=api_id) == 1
    assert metric_sum(client, "AWS/Lambda", "Errors", FunctionName=arn.rpartition(":")[2]) == 1
    error = json.load(client("lambda").invoke(FunctionName=arn)["Payload"])
    assert error["errorType"] == "Runtime.ExitError"


def test_an_alarm_sees_a_message_in_a_queue(client):
    name = random_name("queue")
    queue = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    client("sqs").send_message(QueueUrl=queue, MessageBody="lost")
    alarms = client("cloudwatch").describe_alarms
    wait_until(lambda: alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] == "ALARM")


def test_what_a_metric_has_said_can_be_made_older_for_alarms_that_look_back(client, stand_in_cloud):
    name, other = random_name("age"), random_name("other")
    cloudwatch = client("cloudwatch")
    for metric in (name, other):
        cloudwatch.put_metric_alarm(
            AlarmName=metric,
            Namespace="Turnout",
            MetricName=metric,
            Statistic="Minimum",
            Period=900,
            EvaluationPeriods=1,
            Threshold=10,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="breaching",
        )
        cloudwatch.put_metric_data(Namespace="Turnout", MetricData=[{"MetricName": metric, "Value": 1}])

    def states():
        found = cloudwatch.describe_alarms(AlarmNames=[name, other])["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    wait_until(lambda: states() == {name: "OK", other: "OK"})
    control.age_metric(stand_in_cloud, name, 900)
    cloudwatch.put_metric_data(Namespace="Turnout", MetricData=[{"MetricName": name, "Value": 11}])
    wait_until(lambda: states() == {name: "ALARM", other: "OK"})


def test_an_alarm_on_failed_executions_goes_off_for_its_own_machine_only(client):
    failing = state_machine(client, {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "No"}}})
    other = state_machine(client, {"StartAt": "Ok", "States": {"Ok": {"Type": "Succeed"}}})
    names = {}
    for machine in (failing, other):
        names[machine] = random_name("alarm")
        client("cloudwatch").put_metric_alarm(
            AlarmName=names[machine],
            Namespace="AWS/States",
            MetricName="ExecutionsFailed",
            Dimensions=[{"Name": "StateMachineArn", "Value": machine}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
        executed(client, machine)

    def states():
        found = client("cloudwatch").describe_alarms(AlarmNames=list(names.values()))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    wait_until(lambda: states() == {names[failing]: "ALARM", names[other]: "OK"})
    assert metric_sum(client, "AWS/States", "ExecutionsSucceeded", StateMachineArn=other) == 1


def test_an_alarm_treats_silence_as_told(client):
    cloudwatch, names = client("cloudwatch"), {}
    for treat in ("breaching", "notBreaching"):
        names[treat] = random_name(treat)
        cloudwatch.put_metric_alarm(
            AlarmName=names[treat],
            Namespace="Turnout",
            MetricName="RunSucceeded",
            Dimensions=[{"Name": "Model", "Value": names[treat]}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
            TreatMissingData=treat,
        )

    def states():
        found = cloudwatch.describe_alarms(AlarmNames=list(names.values()))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    wait_until(lambda: states() == {names["breaching"]: "ALARM", names["notBreaching"]: "OK"})


def test_an_alarm_on_an_expression_goes_off(client):
    cloudwatch, name = client("cloudwatch"), random_name("share")
    dimensions = [{"Name": "Model", "Value": name}]

    def metric(identity: str, metric_name: str) -> dict:
        about = {"Namespace": "Turnout", "MetricName": metric_name, "Dimensions": dimensions}
        return {"Id": identity, "MetricStat": {"Metric": about, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    share = {"Id": "share", "Expression": "100 * FILL(bad, 0) / all", "ReturnData": True}
    settings = {
        "AlarmName": name,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    cloudwatch.put_metric_alarm(**settings, Metrics=[metric("bad", "Bad"), metric("all", "All"), share])
    data = [{"MetricName": m, "Dimensions": dimensions, "Value": v} for m, v in (("Bad", 1), ("All", 10))]
    cloudwatch.put_metric_data(Namespace="Turnout", MetricData=data)
    wait_until(lambda: cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] == "ALARM")
    described = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    assert (len(described["Metrics"]), described.get("MetricName")) == (3, None)
    band = {"Id": "share", "Expression": "ANOMALY_DETECTION_BAND(all, 2)", "ReturnData": True}
    with pytest.raises(ClientError, match="does not know the function ANOMALY_DETECTION_BAND"):
        cloudwatch.put_metric_alarm(**settings, Metrics=[metric("all", "All"), band])
