"""`handlers.logic.live_ports.Flights` and `Requests` in a model's DynamoDB table. All reads are strongly consistent."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from handlers.adapters.attributes import from_attributes, to_attribute, to_attributes
from handlers.adapters.store_errors import answered
from handlers.contract.errors import StoreUnavailable
from handlers.contract.records import (
    EXPIRES_AT,
    FLIGHT,
    LIVE,
    MINUTE,
    NO_SORT,
    PK,
    REQUEST,
    SK,
    Flight,
    Item,
    Remembered,
    Request,
)

#: Keys that one BatchGetItem takes, and rounds for those that it leaves out.
GET_BATCH, GET_ROUNDS = 100, 4
#: Bytes of an item that is still written; DynamoDB's limit is 400 KB, names included.
LARGEST_ITEM = 390_000

CONDITION_FAILED = "ConditionalCheckFailedException"


def size_of(item: Item) -> int:
    """Return the bytes of an item's values, about as DynamoDB counts them."""
    return sum(len(str(value).encode()) for value in item.values())


class LiveTable:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        return {key: Remembered.from_item(item) for key, item in self._get_all(LIVE, keys)}

    def remember(self, key: str, answer: Remembered) -> bool:
        item = answer.to_item(key)
        if size_of(item) > LARGEST_ITEM:
            return False
        with answered():
            self._client.put_item(TableName=self._table, Item=to_attributes(item))
        return True

    def lead(self, key: str, flight: Flight, now: int, over: str = "") -> Flight:
        """Write the flight on condition that none is under way but that of leader `over`.

        A retry inside botocore may meet the flight that its own first try wrote: then this leader leads.
        """
        item = flight.to_item(key)
        condition = "attribute_not_exists(pk) OR lease_until <= :now OR attribute_exists(failure) OR leader = :over"
        there = self._put_if(item, condition, {":now": to_attribute(now), ":over": to_attribute(over)})
        return flight if there is None else Flight.from_item(there)

    def under_way(self, keys: Sequence[str]) -> dict[str, Flight]:
        return {key: Flight.from_item(item) for key, item in self._get_all(FLIGHT, keys)}

    def extend(self, key: str, flight: Flight) -> None:
        """Write the flight unless somebody else leads by now: a leader that took too long has lost its say."""
        self._put_if(flight.to_item(key), "leader = :leader", {":leader": to_attribute(flight.leader)})

    def land(self, key: str, leader: str) -> None:
        with answered():
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=_key(f"{FLIGHT}{key}"),
                    ConditionExpression="leader = :leader AND attribute_not_exists(failure)",
                    ExpressionAttributeValues={":leader": to_attribute(leader)},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != CONDITION_FAILED:
                    raise

    def count_call(self, minute: str, limit: int, *, expires_at: int) -> bool:
        """Add one under the condition that it stays within the limit: DynamoDB counts, so the cap holds exactly.

        A retry inside botocore may count a call twice, which errs on the side of the bill.
        """
        if limit < 1:
            return False
        with answered():
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(f"{MINUTE}{minute}"),
                    UpdateExpression=f"ADD calls :one SET {EXPIRES_AT} = :expires",
                    ConditionExpression="attribute_not_exists(calls) OR calls < :limit",
                    ExpressionAttributeValues={
                        ":one": to_attribute(1),
                        ":expires": to_attribute(expires_at),
                        ":limit": to_attribute(limit),
                    },
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != CONDITION_FAILED:
                    raise
                return False
        return True

    def _put_if(self, item: Item, condition: str, values: dict[str, Any]) -> Item | None:
        """Write an item under a condition; return None when it was written, else the item that is in the way."""
        for _ in range(GET_ROUNDS):
            with answered():
                try:
                    self._client.put_item(
                        TableName=self._table,
                        Item=to_attributes(item),
                        ConditionExpression=condition,
                        ExpressionAttributeValues=values,
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != CONDITION_FAILED:
                        raise
                    there = error.response.get("Item") or self._get(item[PK])
                else:
                    return None
            # Not every emulator of DynamoDB returns the old item; one that is gone by now is not in the way.
            if there:
                found = from_attributes(there)
                return None if found == item else found
        raise StoreUnavailable("the item changes faster than it can be written; try again in a moment")

    def _get(self, pk: str) -> dict[str, Any] | None:
        return self._client.get_item(TableName=self._table, Key=_key(pk), ConsistentRead=True).get("Item")

    def _get_all(self, prefix: str, keys: Sequence[str]) -> Iterator[tuple[str, Item]]:
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), GET_BATCH):
            pending = [_key(f"{prefix}{key}") for key in wanted[start : start + GET_BATCH]]
            for item in self._get_batch(pending):
                yield item[PK].removeprefix(prefix), item

    def _get_batch(self, pending: list[dict[str, Any]]) -> list[Item]:
        items: list[Item] = []
        for attempt in range(GET_ROUNDS):
            if attempt:
                time.sleep(0.05 * attempt)
            request = {self._table: {"Keys": pending, "ConsistentRead": True}}
            with answered():
                answer = self._client.batch_get_item(RequestItems=request)
            items += map(from_attributes, answer["Responses"].get(self._table, []))
            pending = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not pending:
                return items
        raise StoreUnavailable(f"the table left out {len(pending)} keys; try again in a moment")


class RequestLedger:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def get(self, request_id: str) -> Request | None:
        with answered():
            key = _key(REQUEST, request_id)
            found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return Request.from_item(from_attributes(found)) if found else None

    def put(self, request: Request) -> None:
        with answered():
            self._client.put_item(TableName=self._table, Item=to_attributes(request.to_item()))

    def drop(self, request_id: str) -> None:
        with answered():
            self._client.delete_item(TableName=self._table, Key=_key(REQUEST, request_id))


def _key(pk: str, sk: str = NO_SORT) -> dict[str, Any]:
    return to_attributes({PK: pk, SK: sk})
