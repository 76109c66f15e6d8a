"""Where each price of a table stands in AWS's price list: the service's code and how its usage type ends.

A usage type begins with the Region in one of several spellings (`USE1-`, `EU-`, `us-east-1-`, or nothing in us-east-1),
so that only the rest of it is given here. `IA-` is not one of them: it begins the usage types of a cheaper class.
"""

import re
from dataclasses import dataclass, field

REGION_PREFIX = r"(?:EU-|[A-Z]{3}[0-9]-|[a-z]{2}(?:-[a-z]+)+-[0-9]-)?"
SAGEMAKER = "AmazonSageMaker"


@dataclass(frozen=True)
class Place:
    """A product of the price list: `usage` is a pattern of its usage type, `having` attributes that it must have."""

    service: str
    usage: str
    having: dict[str, str] = field(default_factory=dict)

    def holds(self, attributes: dict[str, str]) -> bool:
        whole = re.fullmatch(REGION_PREFIX + self.usage, attributes.get("usagetype", ""))
        return whole is not None and all(attributes.get(name) == value for name, value in self.having.items())


#: Every price of a table but those of instances. `Request` is an x86 function's, which costs the same as an arm one's.
PLACES: dict[str, Place] = {
    "lambda.requests": Place("AWSLambda", "Request(-ARM)?"),
    "lambda.duration_arm": Place("AWSLambda", "Lambda-GB-Second-ARM"),
    "api_gateway.http_api": Place("AmazonApiGateway", "ApiGatewayHttpRequest"),
    "dynamodb.write": Place("AmazonDynamoDB", "WriteRequestUnits"),
    "dynamodb.read": Place("AmazonDynamoDB", "ReadRequestUnits"),
    "dynamodb.storage": Place("AmazonDynamoDB", "TimedStorage-ByteHrs"),
    "dynamodb.pitr": Place("AmazonDynamoDB", "TimedPITRStorage-ByteHrs"),
    "step_functions.transition": Place("AmazonStates", "StateTransition"),
    "eventbridge.scheduler": Place("AWSEvents", "ScheduledInvocation"),
    "sqs.standard": Place("AWSQueueService", "Requests-(RBP|Tier1)", {"queueType": "Standard"}),
    "sns.publish": Place("AmazonSNS", "Requests-Tier1"),
    "sns.email": Place("AmazonSNS", "DeliveryAttempts-SMTP"),
    "kinesis.shard_hour": Place("AmazonKinesis", "Storage-ShardHour"),
    "kinesis.put_payload_unit": Place("AmazonKinesis", "PutRequestPayloadUnits"),
    "kinesis.ondemand_stream_hour": Place("AmazonKinesis", "OnDemand-StreamHour"),
    "kinesis.ondemand_in": Place("AmazonKinesis", "OnDemand-BilledIncomingBytes"),
    "kinesis.ondemand_out": Place("AmazonKinesis", "OnDemand-BilledOutgoingBytes"),
    "s3.storage": Place("AmazonS3", "TimedStorage-ByteHrs"),
    "s3.put": Place("AmazonS3", "Requests-Tier1"),
    "s3.get": Place("AmazonS3", "Requests-Tier2"),
    "cloudwatch.alarm": Place("AmazonCloudWatch", "CW:AlarmMonitorUsage"),
    "cloudwatch.alarm_high_res": Place("AmazonCloudWatch", "CW:HighResAlarmMonitorUsage"),
    "cloudwatch.logs_ingest": Place("AmazonCloudWatch", "DataProcessing-Bytes"),
    "cloudwatch.logs_store": Place("AmazonCloudWatch", "TimedStorage-ByteHrs"),
    "cloudwatch.custom_metric": Place("AmazonCloudWatch", "CW:MetricMonitorUsage"),
    "cloudwatch.api_requests": Place("AmazonCloudWatch", "CW:Requests"),
    "kms.key": Place("awskms", "KMS-Keys"),
    "kms.requests": Place("awskms", "KMS-Requests"),
    "xray.trace": Place("AWSXRay", "XRay-TracesStored"),
    "sagemaker.endpoint_ml_storage": Place(SAGEMAKER, r"Host:VolumeUsage\.gp2"),
    "sagemaker.endpoint_data_in": Place(SAGEMAKER, "Hst:Data-Bytes-In"),
    "sagemaker.endpoint_data_out": Place(SAGEMAKER, "Hst:Data-Bytes-Out"),
    **{
        f"sagemaker_serverless.{1024 * gigabytes}": Place(SAGEMAKER, f"ServerlessInf:Mem-{gigabytes}GB")
        for gigabytes in range(1, 7)
    },
    # What a serverless endpoint takes in and gives back is metered as any endpoint's.
    "sagemaker_serverless.data": Place(SAGEMAKER, "Hst:Data-Bytes-Out"),
    # For one GB of memory; larger ones cost in proportion.
    "sagemaker_serverless.provisioned": Place(SAGEMAKER, "(Serverless)?ProvisionedConcurrency:Usage-1GB"),
}
#: Not in the price list because nothing is charged: events that AWS's own services put on the default bus.
FREE = frozenset({"eventbridge.aws_service_events"})
#: One rate an hour for each type of instance, by what it is used for. The first that lists a type gives its price.
INSTANCE_USES = ("Host", "Tsform", "AsyncInf")
INSTANCE = re.compile(REGION_PREFIX + rf"({'|'.join(INSTANCE_USES)}):(ml\.[a-z0-9-]+\.[a-z0-9-]+)")

SERVICES = tuple(dict.fromkeys([SAGEMAKER, *(place.service for place in PLACES.values())]))
