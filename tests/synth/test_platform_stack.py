"""The platform: what all models share."""

import pytest

from tests.synth.cloudformation import text_of
from tests.synth.conftest import Synth, Template, entry


def test_every_bucket_is_private_encrypted_and_forgets_unfinished_uploads(platform: Template):
    buckets = platform.properties("AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets:
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]


def test_every_bucket_refuses_callers_without_tls(platform: Template):
    denied = [
        statement
        for policy in platform.properties("AWS::S3::BucketPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
    ]
    assert len(denied) == 2


def test_the_data_bucket_tells_eventbridge_without_a_custom_resource(platform: Template):
    data = platform.starting_with("DataBucket", "AWS::S3::Bucket")
    assert data["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert not [kind for kind in (r["Type"] for r in platform.resources.values()) if kind.startswith("Custom::")]


def test_unknown_routes_are_answered_to_signed_requests_only(platform: Template):
    route = platform.only("AWS::ApiGatewayV2::Route")
    assert (route["RouteKey"], route["AuthorizationType"]) == ("$default", "AWS_IAM")
    assert platform.only("AWS::Lambda::Function")["Handler"] == "handlers.unknown_model.handler"


def test_the_api_logs_every_access_throttles_and_allows_no_browser(platform: Template):
    stage = platform.only("AWS::ApiGatewayV2::Stage")
    assert stage["AccessLogSettings"]["DestinationArn"]
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 500, "ThrottlingRateLimit": 1000}
    assert "CorsConfiguration" not in platform.only("AWS::ApiGatewayV2::Api")


def test_cloudwatch_may_publish_to_the_encrypted_alarm_topic_over_tls_only(platform: Template):
    key_users = [
        statement["Principal"]
        for statement in platform.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
        if "kms:GenerateDataKey*" in statement["Action"]
    ]
    assert key_users == [{"Service": "cloudwatch.amazonaws.com"}]
    assert platform.only("AWS::SNS::Topic")["KmsMasterKeyId"]
    deny, publish = platform.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert publish["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


def test_an_alarm_address_is_subscribed_only_when_one_is_given(platform: Template, synth: Synth):
    assert not platform.of_type("AWS::SNS::Subscription")
    with_mail = synth(entry(), platform="\nplatform:\n  alarm_email: ops@example.com\n")["platform"]
    assert with_mail.only("AWS::SNS::Subscription")["Endpoint"] == "ops@example.com"


def test_outputs_are_those_that_the_command_line_reads(platform: Template):
    names = {name for name in platform.body["Outputs"] if not name.startswith("ExportsOutput")}
    assert names == {"ApiUrl", "ApiId", "DataBucketName", "AlarmTopicArn", "CallerPolicyArn"}
    assert text_of(platform.body["Outputs"]["ApiUrl"]["Value"]).startswith("https://<HttpApi")


@pytest.mark.parametrize(
    "others", [[entry("risk")], [entry("risk", mode="batch"), entry("price", schedule="on-new-data")]]
)
def test_it_is_the_same_whatever_models_there_are(synth: Synth, platform: Template, others: list[str]):
    assert synth(entry(), *others)["platform"].text == platform.text
