"""Models, transform jobs, endpoints and tags, per account and region; what persistence saves and reset clears."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from turnout.local.sagemaker.ports import Scope

KINDS = ("models", "jobs", "endpoint_configs", "endpoints", "tags")


@dataclass
class Store:
    """Records are plain JSON objects keyed by scope and name; `lock` makes check-then-put one step."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    _records: dict[str, dict[tuple[Scope, str], Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def get(self, kind: str, scope: Scope, name: str) -> Any | None:
        return self._records[kind].get((scope, name))

    def put(self, kind: str, scope: Scope, name: str, record: Any) -> None:
        with self.lock:
            self._records[kind][scope, name] = record

    def remove(self, kind: str, scope: Scope, name: str) -> None:
        with self.lock:
            self._records[kind].pop((scope, name), None)

    def all(self, kind: str, scope: Scope) -> Iterator[Any]:
        return (record for (owner, _), record in list(self._records[kind].items()) if owner == scope)

    def items(self, kind: str) -> list[tuple[Scope, Any]]:
        """Return every record of a kind with its scope."""
        return [(scope, record) for (scope, _), record in list(self._records[kind].items())]

    def tag(self, scope: Scope, arn: str, tags: list[dict] | None) -> None:
        """Add tags, as the API lists them, to those that a resource has."""
        if tags:
            added = {tag["Key"]: tag["Value"] for tag in tags}
            self.put("tags", scope, arn, {**(self.get("tags", scope, arn) or {}), **added})

    def clear(self) -> None:
        with self.lock:
            for records in self._records.values():
                records.clear()

    def dump(self) -> dict:
        """Return JSON: per kind a list of `[account, region, name, record]`."""
        with self.lock:
            return {
                kind: [[scope.account, scope.region, name, record] for (scope, name), record in records.items()]
                for kind, records in self._records.items()
            }

    def load(self, state: dict) -> None:
        for kind in KINDS:
            for account, region, name, record in state.get(kind, []):
                self.put(kind, Scope(account, region), name, record)
