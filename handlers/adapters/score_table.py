"""`handlers.logic.ports.ScoreStore` in a model's DynamoDB table.

    pk  <generation>#<partition>.<bucket>   sk  bucket   b  many scores (handlers.logic.buckets)
    pk  <generation>#<key>                  sk  -        p  one prediction as JSON text
    pk  <generation>#<partition>            sk  written  n  how many items of the partition are there for sure, of those
                                                            whose digest is d: a publisher that died goes on from there
    pk  OVERLAY#<key>                       sk  -        one prediction by event (handlers.contract.records.Refreshed)

All have `expires_at`: epoch seconds (TTL). A generation's manifest says into how many buckets its keys are hashed, so
that a key leads to its item; one without buckets, or from before there were any, has an item for each score.
JSON text keeps every prediction as it was: Python writes floats in the shortest form that reads back bit for bit.
What belongs to the whole generation (when, by which model) stands once, in its manifest.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

from handlers.adapters.attributes import from_attributes
from handlers.adapters.store_errors import answered
from handlers.contract.errors import StoreUnavailable
from handlers.contract.records import BUCKET, EXPIRES_AT, NO_SORT, OVERLAY, PK, SK, Generation, Refreshed
from handlers.logic.buckets import ABSENT, ELSEWHERE, find, key_bytes, place
from handlers.logic.ports import StoredScore

if TYPE_CHECKING:
    from handlers.logic.packing import Packed  # the front door never packs

PREDICTION, SCORES = "p", "b"
WRITTEN, COUNT, DIGEST = "written", "n", "d"

#: Bytes that one write unit pays for.
UNIT = 1_024
#: Keys that one BatchGetItem takes.
GET_BATCH = 100
#: Rounds of BatchGetItem for keys that DynamoDB left out, with 50 ms, 100 ms, ... in between.
GET_ROUNDS = 4

Item = dict[str, Any]
#: Partition key and sort key of an item.
Name = tuple[str, str]


class ScoreTable:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def put(self, generation: str, partition: int, packed: "Packed", *, expires_at: int) -> None:
        """Write all items, or raise after which any of them may be written; the same again completes them.

        It begins where the last attempt noted that it was, if that wrote the same: a retry costs what is left. What one
        write unit pays for is not noted, because the note would cost as much as writing it again.
        """
        from handlers.adapters.score_writing import write_all  # the front door never writes

        everything = partial(items, generation, partition, packed, expires_at)
        name, digest = (f"{generation}#{partition}", WRITTEN), _digest(everything())
        before = self._written(name, digest)

        def note(written: int) -> None:
            state = {DIGEST: {"B": digest}, COUNT: {"N": str(before + written)}, EXPIRES_AT: {"N": str(expires_at)}}
            write_all(self._client, self._table, [{**_key(name), **state}])

        left = islice(everything(), before, None)
        if _is_one_unit(everything()):
            write_all(self._client, self._table, left)
        else:
            write_all(self._client, self._table, left, note=note)

    def _written(self, name: Name, digest: bytes) -> int:
        """Return how many items of that digest an earlier attempt is sure to have written."""
        answer = self._client.get_item(TableName=self._table, Key=_key(name), ConsistentRead=True)
        noted = answer.get("Item")
        return int(noted[COUNT]["N"]) if noted and noted[DIGEST]["B"] == digest else 0

    def get(self, generation: Generation, key: str) -> StoredScore | None:
        """Read one score. An item that is not there is asked for again with a consistent read before it is believed."""
        name = _home(generation, key)
        found = self._get(name)
        if found is None or name[1] == NO_SORT:
            return None if found is None else _single(found)
        prediction = find(found[SCORES]["B"], key_bytes(key))
        if prediction is ELSEWHERE:
            alone = self._get(_alone(generation, key))
            return None if alone is None else _single(alone)
        return None if prediction is ABSENT else StoredScore(prediction, int(found[EXPIRES_AT]["N"]))

    def get_many(self, generation: Generation, keys: Sequence[str]) -> dict[str, StoredScore]:
        homes = {key: _home(generation, key) for key in keys}
        return self._scores(generation, homes, self._get_all(homes.values()))

    def get_overlaid(
        self, generation: Generation | None, keys: Sequence[str]
    ) -> tuple[dict[str, StoredScore], dict[str, Refreshed]]:
        """Read scores and overlay in one round trip; most keys have no entry there, so none is asked for twice."""
        homes = {key: _home(generation, key) for key in keys} if generation else {}
        overlay = {key: (f"{OVERLAY}{key}", NO_SORT) for key in keys}
        stored = self._get_batches(list(dict.fromkeys([*homes.values(), *overlay.values()])), consistent=False)
        if missed := [name for name in dict.fromkeys(homes.values()) if name not in stored]:
            stored |= self._get_batches(missed, consistent=True)
        refreshed = {
            key: Refreshed.from_item(from_attributes(stored[name])) for key, name in overlay.items() if name in stored
        }
        return self._scores(generation, homes, stored) if generation else {}, refreshed

    def _scores(
        self, generation: Generation, homes: Mapping[str, Name], stored: Mapping[Name, Item]
    ) -> dict[str, StoredScore]:
        """Return the scores of keys from the items that they are in, `homes`; those that stand alone are fetched."""
        scores: dict[str, StoredScore] = {}
        apart: dict[str, Name] = {}
        for key, name in homes.items():
            if (item := stored.get(name)) is None:
                continue
            if name[1] == NO_SORT:
                scores[key] = _single(item)
            elif (prediction := find(item[SCORES]["B"], key_bytes(key))) is ELSEWHERE:
                apart[key] = _alone(generation, key)
            elif prediction is not ABSENT:
                scores[key] = StoredScore(prediction, int(item[EXPIRES_AT]["N"]))
        singles = self._get_all(apart.values())
        return scores | {key: _single(singles[name]) for key, name in apart.items() if name in singles}

    def _get(self, name: Name) -> Item | None:
        for consistent in (False, True):
            with answered():
                answer = self._client.get_item(TableName=self._table, Key=_key(name), ConsistentRead=consistent)
            if "Item" in answer:
                return answer["Item"]
        return None

    def _get_all(self, names: Iterable[Name]) -> dict[Name, Item]:
        wanted = list(dict.fromkeys(names))  # the same key twice in one call is an error to DynamoDB
        found = self._get_batches(wanted, consistent=False)
        missed = [name for name in wanted if name not in found]
        return found | self._get_batches(missed, consistent=True) if missed else found

    def _get_batches(self, names: list[Name], *, consistent: bool) -> dict[Name, Item]:
        found: dict[Name, Item] = {}
        for start in range(0, len(names), GET_BATCH):
            pending = [_key(name) for name in names[start : start + GET_BATCH]]
            for item in self._get_batch(pending, consistent=consistent):
                found[item[PK]["S"], item[SK]["S"]] = item
        return found

    def _get_batch(self, pending: list[Item], *, consistent: bool) -> list[Item]:
        items: list[Item] = []
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


def items(generation: str, partition: int, packed: "Packed", expires_at: int) -> Iterator[Item]:
    """Yield the items of one partition as BatchWriteItem takes them."""
    expiry = {EXPIRES_AT: {"N": str(expires_at)}}
    for bucket, body in packed.bodies:
        yield {**_key(_bucket(generation, partition, bucket)), SCORES: {"B": body}, **expiry}
    for key, prediction in packed.singles:
        text = json.dumps(prediction, allow_nan=False)
        yield {**_key((f"{generation}#{key}", NO_SORT)), PREDICTION: {"S": text}, **expiry}


def _is_one_unit(everything: Iterator[Item]) -> bool:
    """Return whether these are one item at most, and a small one."""
    texts = [text for name, typed in next(everything, {}).items() for text in (name, *typed.values())]
    size = sum(len(text if isinstance(text, bytes) else key_bytes(text)) for text in texts)
    return size <= UNIT and next(everything, None) is None


def _digest(everything: Iterable[Item]) -> bytes:
    """Return what tells apart two lists of items, in order."""
    digest = blake2b(digest_size=16)
    for item in everything:
        bucket = item.get(SCORES, {}).get("B", b"")  # as it is: escaped, it would take four times as long
        digest.update(repr({**item, SCORES: len(bucket)}).encode())
        digest.update(bucket)
    return digest.digest()


def _home(generation: Generation, key: str) -> Name:
    """Return the item to ask for a key."""
    at = place(key_bytes(key), generation.buckets or ())
    return _alone(generation, key) if at is None else _bucket(generation.id, *at)


def _bucket(generation: str, partition: int, bucket: int) -> Name:
    return f"{generation}#{partition}.{bucket}", BUCKET


def _alone(generation: Generation, key: str) -> Name:
    return f"{generation.id}#{key}", NO_SORT


def _key(name: Name) -> Item:
    return {PK: {"S": name[0]}, SK: {"S": name[1]}}


def _single(item: Item) -> StoredScore:
    return StoredScore(json.loads(item[PREDICTION]["S"]), int(item[EXPIRES_AT]["N"]))
