"""The bucket that all models share: inputs, a run's working files, results, quarantined rows and requests."""

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.bucket_place import BucketPlace
from infra.constructs.retention import removal_policy
from turnout.config.stages import Stage

ACCESS_LOG_DAYS = 90
#: Asynchronous payloads and answers stay a while longer than the records that lead to them.
ASYNC_DAYS = 9


class DataBucket(Construct):
    """Encrypted, private, TLS only, with access logs in a bucket beside it. Sends its events to EventBridge."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage) -> None:
        super().__init__(scope, id)
        logs = self._bucket("AccessLogs", stage, rules=[s3.LifecycleRule(expiration=Duration.days(ACCESS_LOG_DAYS))])
        self.bucket = self._bucket("Bucket", stage, rules=_expiry(stage), access_logs=logs)
        # The L2 switch for events adds a Lambda-backed custom resource; CloudFormation's own property needs none.
        self.bucket.node.default_child.notification_configuration = {
            "eventBridgeConfiguration": {"eventBridgeEnabled": True}
        }
        self.place = BucketPlace(self.bucket.bucket_name, self.bucket.bucket_arn)

    def _bucket(
        self, id: str, stage: Stage, *, rules: list[s3.LifecycleRule], access_logs: s3.Bucket | None = None
    ) -> s3.Bucket:
        return s3.Bucket(
            self,
            id,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[_unfinished_uploads(), *rules],
            removal_policy=removal_policy(stage),
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix="data/" if access_logs else None,
        )


def _unfinished_uploads() -> s3.LifecycleRule:
    """Batch Transform and killed functions leave parts of uploads behind, which are paid for and never seen."""
    return s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1))


def _expiry(stage: Stage) -> list[s3.LifecycleRule]:
    days = {"work/": stage.work_retention_days, "async/": ASYNC_DAYS}
    if stage.results_retention_days is not None:
        days |= {"results/": stage.results_retention_days, "quarantine/": stage.results_retention_days}
    return [s3.LifecycleRule(prefix=prefix, expiration=Duration.days(n)) for prefix, n in days.items()]
