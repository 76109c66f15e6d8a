"""Which properties a handler reads, found in its source: held against runs that track what is really read."""

import importlib
import uuid
from collections.abc import Iterator

import pytest

from turnout.local import emulator
from turnout.local.reads import reads_of

DEFAULTS = {"Delay": "0", "Size": "1"}
OPTIONAL = ("Policy", "Key")


def by_keys(logical_id, props, stack):
    name = props.get("Name") or "generated"
    if "Switch" in props:
        name = name.upper()
    return name + str(props["Number"])


def by_loops(logical_id, props, stack):
    fields = {key: props.get(key, default) for key, default in DEFAULTS.items()}
    for key in OPTIONAL + (("Extra",) if fields else ()):
        fields[key] = str(props.get(key))
    return fields


def by_parts(logical_id, props, stack):
    first, rest = props.get("Outer") or {}, {**props}
    rest.pop("Dropped", None)
    found = [entry.get("Value") for entry in props.get("Tags", []) if entry.get("Key") == "a"]
    return str(first.get("Inner")), str(found), str(rest.get("Late"))


def by_helpers(logical_id, props, stack):
    def as_list(key):
        return [str(item) for item in props.get(key) or []]

    copied = dict(props)
    return as_list("Actions"), _helped(props.get("Config"), deep=True), _helped(copied)


def _helped(config, deep=False):
    return str((config or {}).get("Mode")) if deep else str((config or {}).get("Copied"))


def by_calling_itself(logical_id, props, stack):
    return by_calling_itself(logical_id, props.get("Inner"), stack) if props else stack


def by_comparing(logical_id, props, stack):
    if props.get("Schema") == stack:
        raise ValueError(f"same: {props.get('Told')}")
    return isinstance(props.get("Looked"), dict)


def whole(logical_id, props, stack):
    return repr(props)


TO_XML = (
    ("Cors", lambda cors: str(cors.get("Rules"))),
    ("Site", lambda site: str(site.get("Index"))),
)


def by_a_table(logical_id, props, stack):
    for name, to_xml in TO_XML:
        if name in props:
            to_xml(props[name])


@pytest.mark.parametrize(
    ("handler", "read", "unread"),
    [
        (by_keys, {"Name", "Switch", "Number"}, {"Other"}),
        (by_loops, {"Delay", "Size", "Policy", "Key", "Extra"}, {"Other"}),
        (by_parts, {"Outer", "Outer.Inner", "Tags", "Tags.Key", "Tags.Value", "Late"}, {"Outer.Else", "Tags.Else"}),
        (by_helpers, {"Actions", "Config", "Config.Mode", "Copied"}, {"Config.Else"}),
        (by_calling_itself, {"Inner", "Inner.Inner"}, {"Other"}),
        (by_comparing, {"Schema", "Told", "Told.Everything", "Looked"}, {"Looked.Inner", "Schema.Inner"}),
        (whole, {"Any", "Any.Thing"}, set()),
        (by_a_table, {"Cors", "Cors.Rules", "Site", "Site.Index"}, {"Cors.Index", "Site.Rules", "Other"}),
    ],
)
def test_what_is_read_is_found_and_nothing_else(handler, read, unread):
    found = reads_of(handler, "props")
    assert {path for path in read | unread if found.reads(tuple(path.split(".")))} == read


def test_a_handler_inside_another_is_followed():
    def wrap(create):
        def create_and_more(logical_id, properties, stack):
            return create(logical_id, properties, stack), properties.get("More")

        return create_and_more

    found = reads_of(wrap(by_keys), "properties")
    assert found.reads(("Name",))
    assert found.reads(("More",))
    assert not found.reads(("Other",))


class Tracked(dict):
    """A template's properties that note which of them are looked at."""

    def __init__(self, properties: dict, seen: set, path: tuple = ()) -> None:
        self.seen, self.path = seen, path
        super().__init__({key: tracked(value, seen, (*path, key)) for key, value in properties.items()})

    def look(self, key) -> None:
        self.seen.add((*self.path, key))

    def get(self, key, default=None):
        self.look(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.look(key)
        return super().__getitem__(key)

    def __contains__(self, key) -> bool:
        self.look(key)
        return super().__contains__(key)


def tracked(value, seen: set, path: tuple):
    if isinstance(value, dict):
        return Tracked(value, seen, path)
    return [tracked(item, seen, path) for item in value] if isinstance(value, list) else value


ROLE = "arn:aws:iam::000000000000:role/any"
TAGS = [{"Key": "a", "Value": "1"}]
#: type -> properties, and those of them that ministack by itself never reads (as the emulator's study found them).
SAMPLES = {
    "AWS::S3::Bucket": (
        {
            "BucketName": "b",
            "VersioningConfiguration": {"Status": "Enabled"},
            "CorsConfiguration": {"CorsRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "Else": 1}]},
            "AccessControl": "Private",
            "BucketEncryption": {"ServerSideEncryptionConfiguration": []},
            "LifecycleConfiguration": {"Rules": []},
            "LoggingConfiguration": {},
            "OwnershipControls": {"Rules": []},
            "Tags": TAGS,
        },
        """AccessControl BucketEncryption LifecycleConfiguration LoggingConfiguration OwnershipControls Tags
        CorsConfiguration.CorsRules.Else""",
    ),
    "AWS::Lambda::Function": (
        {
            "FunctionName": "f",
            "Code": {"ZipFile": "def handler(e, c): pass", "SourceKMSKeyArn": "k"},
            "Handler": "index.handler",
            "Runtime": "python3.12",
            "Role": ROLE,
            "Timeout": 3,
            "MemorySize": 128,
            "Environment": {"Variables": {"A": "1"}},
            "DeadLetterConfig": {"TargetArn": "t"},
            "ReservedConcurrentExecutions": 1,
            "VpcConfig": {},
            "Tags": TAGS,
        },
        "DeadLetterConfig ReservedConcurrentExecutions VpcConfig Code.SourceKMSKeyArn",
    ),
    "AWS::DynamoDB::Table": (
        {
            "TableName": "t",
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
            "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "x"},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "SSESpecification": {"SSEEnabled": True},
            "TableClass": "STANDARD",
            "OnDemandThroughput": {},
            "KinesisStreamSpecification": {},
            "ResourcePolicy": {},
            "ContributorInsightsSpecification": {},
            "Tags": TAGS,
        },
        """TimeToLiveSpecification PointInTimeRecoverySpecification SSESpecification TableClass OnDemandThroughput
        KinesisStreamSpecification ResourcePolicy ContributorInsightsSpecification""",
    ),
    "AWS::Scheduler::Schedule": (
        {
            "Name": "s",
            "ScheduleExpression": "rate(1 day)",
            "ScheduleExpressionTimezone": "Asia/Tokyo",
            "StartDate": "2026-01-01T00:00:00Z",
            "EndDate": "2026-01-01T00:00:00Z",
            "KmsKeyArn": "k",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:q", "RoleArn": ROLE},
            "State": "DISABLED",
        },
        "ScheduleExpressionTimezone StartDate EndDate KmsKeyArn",
    ),
    "AWS::IAM::Role": (
        {
            "RoleName": "r",
            "AssumeRolePolicyDocument": {"Statement": []},
            "PermissionsBoundary": "p",
            "Policies": [{"PolicyName": "n", "PolicyDocument": {}}],
            "Tags": TAGS,
        },
        "PermissionsBoundary",
    ),
    "AWS::Kinesis::Stream": (
        {"Name": "s", "ShardCount": 1, "StreamEncryption": {}, "RetentionPeriodHours": 24, "Tags": TAGS},
        "StreamEncryption",
    ),
    "AWS::SQS::Queue": ({"QueueName": "q", "VisibilityTimeout": 3, "DelaySeconds": 1, "Tags": TAGS, "Else": 1}, "Else"),
    "AWS::StepFunctions::StateMachine": (
        {
            "StateMachineName": "m",
            "DefinitionString": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}',
            "RoleArn": ROLE,
            "TracingConfiguration": {"Enabled": True},
            "Tags": TAGS,
        },
        "TracingConfiguration",
    ),
    "AWS::CloudWatch::Alarm": (
        {
            "AlarmName": "a",
            "MetricName": "m",
            "Namespace": "n",
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 1,
            "EvaluationPeriods": 1,
            "AlarmActions": ["x"],
            "Dimensions": [{"Name": "a", "Value": "1"}],
            "EvaluateLowSampleCountPercentile": "ignore",
            "ThresholdMetricId": "x",
        },
        "EvaluateLowSampleCountPercentile ThresholdMetricId",
    ),
}


@pytest.fixture
def handlers() -> Iterator[dict]:
    """ministack's own handlers, in an account of their own."""
    account = f"{uuid.uuid4().int % 10**12:012d}"
    with importlib.import_module("ministack.core.responses").request_scope(account, "us-east-1"):
        yield importlib.import_module("ministack.services.cloudformation.provisioners")._RESOURCE_HANDLERS


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_a_run_reads_what_the_source_says_and_the_study_found(handlers, kind):
    properties, ignored = SAMPLES[kind]
    found, seen = reads_of(handlers[kind]["create"], "props"), set()
    handlers[kind]["create"]("It", Tracked(properties, seen), "stack")
    unread = {path for path in present(properties) if not found.reads(tuple(path.split(".")))}
    topmost = {path for path in unread if not any(path.startswith(f"{other}.") for other in unread)}
    looked_at = {".".join(path) for path in seen} & present(properties)
    assert topmost == set(ignored.split())
    assert looked_at & unread == set()
    assert {path for path in properties if path not in looked_at} == {path for path in topmost if "." not in path}


def present(value, path: str = "") -> set[str]:
    """Return the paths of everything in a sample."""
    if isinstance(value, list):
        return set().union(*(present(item, path) for item in value))
    if not isinstance(value, dict):
        return set()
    here = {f"{path}.{key}".lstrip("."): part for key, part in value.items()}
    return set(here).union(*(present(part, name) for name, part in here.items()))


def test_what_is_added_here_is_read_too():
    read = {kind: emulator.reads_of_type(f"AWS::{kind}") for kind in ("DynamoDB::Table", "S3::Bucket", "IAM::Role")}
    assert read["DynamoDB::Table"].reads(("TimeToLiveSpecification", "AttributeName"))
    assert not read["DynamoDB::Table"].reads(("ResourcePolicy",))
    assert read["S3::Bucket"].reads(("LifecycleConfiguration", "Rules", "ExpirationInDays"))
    assert not read["S3::Bucket"].reads(("LifecycleConfiguration", "Rules", "Transitions"))
    assert read["IAM::Role"].reads(("PermissionsBoundary",))


def test_the_properties_of_all_types_but_a_few_can_be_followed():
    """Of those the doctor says that it cannot tell."""
    types = emulator.known_types() - emulator.own_types()
    lost = {kind.split("::")[1] for kind in types if emulator.reads_of_type(kind).uses(())}
    assert lost <= {
        "CDK",
        "CloudFormation",
        "Cognito",
        "DocDB",
        "ElastiCache",
        "Glue",
        "IoT",
        "OpenSearchService",
        "Signer",
    }
