"""What a reviewer would stop at, and why it is so: every wildcard in a permission and every finding of cdk-nag.

Both tables are exact: a wildcard or finding that is not listed fails the suite, and so does an entry that nothing
needs any more.
"""

from typing import NamedTuple


class Wildcard(NamedTuple):
    """Statements whose actions and resource match these regular expressions may have a `*`."""

    actions: str
    resource: str
    reason: str


_OBJECTS = r"<DataBucket\.Arn>"

WILDCARDS = [
    Wildcard(r"cloudwatch:PutMetricData", r"\*", "The action knows no resources; a condition names the namespace."),
    Wildcard(r"ecr:GetAuthorizationToken", r"\*", "The action knows no resources; it only logs in to the registry."),
    Wildcard(r"cloudwatch:GetMetricData", r"\*", "The action knows neither resources nor namespaces; it only reads."),
    Wildcard(r"sagemaker:ListTags", r"\*", "Step Functions asks for tags of whatever its job turned into."),
    Wildcard(
        r"logs:(\w+LogDelivery|ListLogDeliveries|\w+ResourcePolic(y|ies)|DescribeLogGroups)",
        r"\*",
        "Step Functions delivers logs through actions that know no resources.",
    ),
    Wildcard(r"xray:\w+", r"\*", "X-Ray's actions know no resources."),
    Wildcard(
        r"sagemaker:(Create|Describe|Stop)TransformJob|sagemaker:AddTags",
        r"arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:transform-job/(dev|prod)-[a-z0-9]+-\*",
        "Each run's job has a name of its own; only jobs of this stage and model match.",
    ),
    Wildcard(
        r"logs:\w+",
        r"arn:.*:log-group:/aws/sagemaker/TransformJobs:\*",
        "SageMaker names the log streams of a transform job after its instances.",
    ),
    Wildcard(
        r"logs:\w+",
        r"arn:.*:log-group:/aws/sagemaker/Endpoints/(dev|prod)-[a-z0-9]+-[a-z]+-[0-9a-f]{6}:\*",
        "SageMaker names the log streams of an endpoint after its instances.",
    ),
    Wildcard(
        r"sagemaker:DescribeEndpoint",
        r"arn:.*:endpoint/(dev|prod)-[a-z0-9]+-(realtime|async)-\?{6}",
        "The endpoint that a new one replaces is called like it but for the digest of its model.",
    ),
    Wildcard(
        r"states:DescribeExecution",
        r"arn:.*:execution:<ServingPipelineMachine\w+\.Name>:\*",
        "Each run is an execution with a name of its own; only those of this model's pipeline match.",
    ),
    Wildcard(
        r"s3:(GetObject|PutObject|AbortMultipartUpload)",
        _OBJECTS + r"/async/[a-z0-9]+/(input|output|failed)/\*",
        "Asynchronous payloads and answers: their names hold the request.",
    ),
    Wildcard(
        r"s3:(GetObject|PutObject|AbortMultipartUpload|DeleteObject)",
        _OBJECTS + r"/work/[a-z0-9]+/\*(/(shards|keys|transform|scores|published)/\*)?",
        "A run's working files: their names hold the run and the shard.",
    ),
    Wildcard(
        r"s3:(PutObject|AbortMultipartUpload)",
        _OBJECTS + r"/(results|quarantine)/[a-z0-9]+/\*",
        "A run's results and refused rows: their names hold the date and the run.",
    ),
    Wildcard(
        r"execute-api:Invoke",
        r"arn:.*:execute-api:.*/\*/\*/models/\*",
        "Callers may ask for any key of any model; narrower policies are the user's to write.",
    ),
    Wildcard(r"s3:GetObject", _OBJECTS + r"/input/[a-z0-9]+/\*", "The user chooses the names of input files."),
    Wildcard(
        r"s3:PutObject",
        r"<DataAccessLogs\w+\.Arn>/data/\*",
        "S3 names the access logs that it delivers; a condition names the bucket they come from.",
    ),
    Wildcard(r"kms:\*", r"\*", "A key's policy: IAM of the account decides, and the resource is the key itself."),
    Wildcard(
        r"kms:(Decrypt|GenerateDataKey\*)",
        r"\*",
        "A key's policy, where the resource is the key itself; CloudWatch asks for both kinds of data key.",
    ),
]

#: cdk-nag rule -> why its findings stand. Findings on wildcards (IAM5) are explained above.
NAG = {
    "AwsSolutions-SQS3": "The queue is a dead-letter queue; one behind it would only move the question.",
    "AwsSolutions-DDB3": "Point-in-time recovery is the stage's decision: on in prod, off in dev.",
}
