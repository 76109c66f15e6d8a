"""Who may touch which items of a model's table, by the first part of their key (handlers.contract.records)."""

from handlers.contract.records import GENERATION, OVERLAY, POINTER, RUN
from infra.constructs.permissions import Statement, allow

#: Scores are stored under `<generation>#<key>`, and a generation is named like 20261123T060000Z: the pattern covers
#: neither live answers nor anything else that has a `#` in its partition key.
SCORES = "????????T??????Z*#*"


def on_items(table_arn: str, actions: list[str], *partition_keys: str) -> Statement:
    """Allow `actions` on items whose partition key is like one of `partition_keys`, and on no others."""
    only = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(partition_keys)}}
    return allow([f"dynamodb:{action}" for action in actions], [table_arn], only)


def claim_runs(table_arn: str) -> Statement:
    return on_items(table_arn, ["GetItem", "PutItem"], RUN)


def conclude_runs(table_arn: str) -> Statement:
    """Allow the ledger, manifests and the pointer: what makes a generation visible, but no score."""
    return on_items(table_arn, ["GetItem", "PutItem"], RUN, GENERATION, POINTER)


def write_scores(table_arn: str) -> Statement:
    """Allow scores only: a publisher that goes wrong cannot change what is visible. It reads how far it came."""
    return on_items(table_arn, ["BatchWriteItem", "GetItem"], SCORES)


def read_freshness(table_arn: str) -> Statement:
    return on_items(table_arn, ["GetItem"], POINTER, GENERATION)


def read_scores(table_arn: str) -> Statement:
    return on_items(table_arn, ["GetItem", "BatchGetItem"], SCORES)


def read_overlaid(table_arn: str) -> Statement:
    """Allow reading scores and the overlay in one call: a statement allows a call only if it covers all of its keys."""
    return on_items(table_arn, ["BatchGetItem"], SCORES, f"{OVERLAY}*")
