"""`handlers.logic.ports.Records` in a model's DynamoDB table."""

from typing import Any

from handlers.adapters.attributes import from_attributes, to_attribute, to_attributes
from handlers.adapters.store_errors import answered
from handlers.contract.records import GENERATION, NO_SORT, PK, POINTER, RUN, SK, Generation, Item, Pointer, Run


class RecordsTable:
    """Reads are strongly consistent: a pointer moved a moment ago is seen."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def pointer(self) -> Pointer:
        item = self._get(POINTER, NO_SORT)
        return Pointer.from_item(item) if item else Pointer()

    def move_pointer(self, to: Pointer, *, expected_revision: int) -> bool:
        condition = "revision = :expected" if expected_revision else "attribute_not_exists(pk)"
        values = {":expected": to_attribute(expected_revision)} if expected_revision else {}
        return self._put_if(to.to_item(), condition, values) is None

    def generation(self, generation_id: str) -> Generation | None:
        item = self._get(GENERATION, generation_id)
        return Generation.from_item(item) if item else None

    def put_generation(self, generation: Generation) -> None:
        self._put(generation.to_item())

    def claim(self, run: Run) -> Run:
        holder = self._put_if(run.to_item(), "attribute_not_exists(pk)", {})
        return Run.from_item(holder) if holder else run

    def run(self, run_id: str) -> Run | None:
        item = self._get(RUN, run_id)
        return Run.from_item(item) if item else None

    def newest_runs(self, limit: int) -> list[Run]:
        # A page of DynamoDB ends after 1 MB, and a run of 3,000 shards is a tenth of that.
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"{PK} = :run",
            ExpressionAttributeValues={":run": to_attribute(RUN)},
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"MaxItems": limit, "PageSize": limit},
        )
        return [Run.from_item(from_attributes(item)) for page in pages for item in page["Items"]]

    def put_run(self, run: Run) -> None:
        self._put(run.to_item())

    def _get(self, pk: str, sk: str) -> Item | None:
        key = to_attributes({PK: pk, SK: sk})
        with answered():
            found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return from_attributes(found) if found else None

    def _put(self, item: Item) -> None:
        self._client.put_item(TableName=self._table, Item=to_attributes(item))

    def _put_if(self, item: Item, condition: str, values: dict[str, Any]) -> Item | None:
        """Write an item under a condition; return None when it was written, else the item that is in the way.

        A retry inside botocore may meet the item that its own first try wrote: an equal item is not in the way.
        """
        arguments = {"ExpressionAttributeValues": values} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_attributes(item),
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **arguments,
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            there = error.response.get("Item")
            # Not every emulator of DynamoDB returns the old item.
            found = from_attributes(there) if there else self._get(item[PK], item[SK])
            return None if found == item else found
        return None
