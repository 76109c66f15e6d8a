"""Records of every kind of resource and their tags, per account and region; what persistence saves and reset clears."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from turnout.local.sagemaker.ports import Scope


class Members(NamedTuple):
    """The members of a record that hold its name and its ARN."""

    name: str
    arn: str


#: Kind of record -> its members.
RESOURCES = {
    "models": Members("ModelName", "ModelArn"),
    "jobs": Members("TransformJobName", "TransformJobArn"),
    "endpoint_configs": Members("EndpointConfigName", "EndpointConfigArn"),
    "endpoints": Members("EndpointName", "EndpointArn"),
    "model_package_groups": Members("ModelPackageGroupName", "ModelPackageGroupArn"),
    "model_packages": Members("_Name", "ModelPackageArn"),  # versions have no ModelPackageName: their group has it
}
KINDS = (*RESOURCES, "tags")


@dataclass
class Store:
    """Records are plain JSON objects keyed by scope and name; `lock` makes check-then-put one step.

    Members that begin with an underscore are ours and never leave: no operation's output has them.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    _records: dict[str, dict[tuple[Scope, str], Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def get(self, kind: str, scope: Scope, name: str) -> Any | None:
        return self._records[kind].get((scope, name))

    def put(self, kind: str, scope: Scope, name: str, record: Any) -> None:
        with self.lock:
            self._records[kind][scope, name] = record

    def remove(self, kind: str, scope: Scope, name: str) -> None:
        """Forget a record and, with it, its tags."""
        with self.lock:
            record = self._records[kind].pop((scope, name), None)
            if record is not None and kind in RESOURCES:
                self._records["tags"].pop((scope, record[RESOURCES[kind].arn]), None)

    def all(self, kind: str, scope: Scope) -> Iterator[Any]:
        with self.lock:
            records = list(self._records[kind].items())
        return (record for (owner, _), record in records if owner == scope)

    def items(self, kind: str) -> list[tuple[Scope, Any]]:
        """Return every record of a kind with its scope."""
        return [(scope, record) for (scope, _), record in list(self._records[kind].items())]

    def find(self, kind: str, scope: Scope, arn: str) -> Any | None:
        """Return the record behind an ARN. Names that differ in case alone have one ARN: only one of them can be."""
        member = RESOURCES[kind].arn
        return next((record for record in self.all(kind, scope) if record[member] == arn), None)

    def tag(self, scope: Scope, arn: str, tags: list[dict] | None) -> None:
        """Add tags, as the API lists them, to those that a resource has."""
        if tags:
            added = {tag["Key"]: tag["Value"] for tag in tags}
            self.put("tags", scope, arn, {**(self.get("tags", scope, arn) or {}), **added})

    def tags(self, scope: Scope, arn: str) -> list[dict]:
        """Return a resource's tags as the API lists them."""
        return [{"Key": key, "Value": value} for key, value in (self.get("tags", scope, arn) or {}).items()]

    def tagged(self, scope: Scope) -> Iterator[tuple[str, list[dict]]]:
        """Yield the ARN and the tags, as the API lists them, of every resource that has some."""
        with self.lock:
            arns = [arn for (owner, arn), tags in self._records["tags"].items() if owner == scope and tags]
        return ((arn, self.tags(scope, arn)) for arn in arns)

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
