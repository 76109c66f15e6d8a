"""`handlers.logic.refreshing.Overlay` in a model's DynamoDB table."""

from collections.abc import Sequence

from botocore.exceptions import ClientError

from handlers.adapters.attributes import to_attribute, to_attributes
from handlers.adapters.live_table import CONDITION_FAILED, GET_ROUNDS, LARGEST_ITEM, LiveTable, size_of
from handlers.adapters.store_errors import answered
from handlers.contract.errors import PayloadTooLarge, StoreUnavailable
from handlers.contract.records import EXPIRES_AT, MINUTE, NO_SORT, OVERLAY, PK, SK, Refreshed

#: No entry, one that has expired, one that is older, or one of the same data that another version of the model made.
NEWER = (
    "attribute_not_exists(pk) OR expires_at <= :now OR data_as_of < :as_of "
    "OR (data_as_of = :as_of AND (arrived < :at OR model_version <> :version))"
)


class OverlayTable(LiveTable):
    """Reads and writes as live answers do: consistently, and under conditions."""

    def refreshed(self, keys: Sequence[str]) -> dict[str, Refreshed]:
        return {key: Refreshed.from_item(item) for key, item in self._get_all(OVERLAY, keys)}

    def refresh(self, key: str, entry: Refreshed, now: int) -> bool:
        """Write under the condition that nothing newer is there, so that duplicates and late events change nothing.

        A retry inside botocore may meet what its own first try wrote: that was written.
        """
        item = entry.to_item(key)
        if (size := size_of(item)) > LARGEST_ITEM:
            raise PayloadTooLarge(f"the prediction makes an entry of {size:,} bytes; the table holds {LARGEST_ITEM:,}")
        values = {":now": now, ":as_of": entry.data_as_of, ":at": entry.arrived, ":version": entry.model_version}
        return self._put_if(item, NEWER, to_attributes(values)) is None

    def take_turns(self, minute: str, wanted: int, limit: int, *, expires_at: int) -> int:
        """Add under the condition that the sum stays within the limit; where it would not, take what is left."""
        key = {PK: f"{MINUTE}{minute}#refresh", SK: NO_SORT}
        for _ in range(GET_ROUNDS):
            wanted = min(wanted, limit)
            if wanted < 1:
                return 0
            values = {":wanted": wanted, ":expires": expires_at, ":room": limit - wanted}
            with answered():
                try:
                    self._client.update_item(
                        TableName=self._table,
                        Key=to_attributes(key),
                        UpdateExpression=f"ADD calls :wanted SET {EXPIRES_AT} = :expires",
                        ConditionExpression="attribute_not_exists(calls) OR calls <= :room",
                        ExpressionAttributeValues={name: to_attribute(value) for name, value in values.items()},
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != CONDITION_FAILED:
                        raise
                    there = self._get(key[PK]) or {}
                else:
                    return wanted
            wanted = min(wanted, limit - int(there["calls"]["N"])) if there else wanted
        raise StoreUnavailable("the minute's count changes faster than it can be written; try again in a moment")
