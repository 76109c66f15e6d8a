"""`handlers.logic.ports.ScoreStore` in a model's DynamoDB table: one item per score.

    pk  <generation>#<key>    sk  -    p  the prediction as JSON text    expires_at  epoch seconds (TTL)

JSON text keeps every prediction as it was: Python writes floats in the shortest form that reads back
bit for bit, where DynamoDB's own numbers stop at 38 digits and know no lists of floats.
What belongs to the whole generation (when, by which model) stands once, in its manifest.
"""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from handlers.adapters.attributes import from_attributes
from handlers.adapters.store_errors import answered
from handlers.contract.errors import StoreUnavailable
from handlers.contract.records import EXPIRES_AT, NO_SORT, PK, SK
from handlers.logic.ports import StoredScore

PREDICTION = "p"

#: Keys that one BatchGetItem takes.
GET_BATCH = 100
#: Rounds of BatchGetItem for keys that DynamoDB left out, with 50 ms, 100 ms, ... in between.
GET_ROUNDS = 4


class ScoreTable:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def put_shard(self, generation: str, rows: Iterable[tuple[str, Any]], *, expires_at: int) -> int:
        """Write all scores, or raise after which any part may be written; writing them again completes them."""
        from handlers.adapters.score_writing import write_all  # the front door never writes

        expiry = {"N": str(expires_at)}
        items = (
            {**_key(generation, key), PREDICTION: {"S": json.dumps(prediction, allow_nan=False)}, EXPIRES_AT: expiry}
            for key, prediction in rows
        )
        return write_all(self._client, self._table, items)

    def get(self, generation: str, key: str) -> StoredScore | None:
        """Read one score; only a miss is asked again with a consistent read, at the price of a miss."""
        for consistent in (False, True):
            with answered():
                answer = self._client.get_item(
                    TableName=self._table, Key=_key(generation, key), ConsistentRead=consistent
                )
            if "Item" in answer:
                return _score(answer["Item"])
        return None

    def get_many(self, generation: str, keys: Sequence[str]) -> dict[str, StoredScore]:
        wanted = list(dict.fromkeys(keys))  # the same key twice in one call is an error to DynamoDB
        found = self._get_batches(generation, wanted, consistent=False)
        missed = [key for key in wanted if key not in found]
        return found | self._get_batches(generation, missed, consistent=True) if missed else found

    def _get_batches(self, generation: str, keys: list[str], *, consistent: bool) -> dict[str, StoredScore]:
        found: dict[str, StoredScore] = {}
        for start in range(0, len(keys), GET_BATCH):
            pending = [_key(generation, key) for key in keys[start : start + GET_BATCH]]
            for item in self._get_batch(pending, consistent=consistent):
                found[item[PK]["S"].removeprefix(f"{generation}#")] = _score(item)
        return found

    def _get_batch(self, pending: list[dict[str, Any]], *, consistent: bool) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for attempt in range(GET_ROUNDS):
            if attempt:
                time.sleep(0.05 * attempt)
            request = {self._table: {"Keys": pending, "ConsistentRead": consistent}}
            with answered():
                answer = self._client.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(self._table, [])
            pending = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not pending:
                return items
        raise StoreUnavailable(f"the score store left out {len(pending)} keys; try again in a moment")


def _key(generation: str, key: str) -> dict[str, Any]:
    return {PK: {"S": f"{generation}#{key}"}, SK: {"S": NO_SORT}}


def _score(item: dict[str, Any]) -> StoredScore:
    values = from_attributes(item)
    return StoredScore(json.loads(values[PREDICTION]), values[EXPIRES_AT])
