"""The model's table: pointer, run ledger, generations and scores (handlers.contract.records)."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from handlers.contract.records import EXPIRES_AT, PK, SK
from infra.constructs.retention import keep_as_stage_says
from turnout.config.stages import Stage


class ScoreStore(Construct):
    """One on-demand table. It exists in every mode, so that a switch neither loses nor orphans anything."""

    def __init__(self, scope: Construct, id: str, *, stage: Stage) -> None:
        super().__init__(scope, id)
        self.table = dynamodb.CfnTable(
            self,
            "Table",
            billing_mode="PAY_PER_REQUEST",
            attribute_definitions=[
                {"attributeName": PK, "attributeType": "S"},
                {"attributeName": SK, "attributeType": "S"},
            ],
            key_schema=[{"attributeName": PK, "keyType": "HASH"}, {"attributeName": SK, "keyType": "RANGE"}],
            time_to_live_specification={"attributeName": EXPIRES_AT, "enabled": True},
            point_in_time_recovery_specification={"pointInTimeRecoveryEnabled": stage.point_in_time_recovery},
            sse_specification={"sseEnabled": True},
            deletion_protection_enabled=stage.deletion_protection,
        )
        keep_as_stage_says(self.table, stage)
        self.name = self.table.ref
        self.arn = self.table.attr_arn
