"""What is registered with Application Auto Scaling: targets, policies, scheduled actions, tags, activities.

Records are plain JSON as on the wire; members that begin with an underscore are ours and never leave.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from turnout.local.autoscaling.checks import DIMENSIONS, parts
from turnout.local.sagemaker.ports import Scope

KEY_MEMBERS = ("ServiceNamespace", "ResourceId", "ScalableDimension")
MOST_ACTIVITIES = 200
KINDS = ("policies", "schedules")  # what belongs to a target and has a name there

#: A target: scope, then the values of KEY_MEMBERS.
Key = tuple[Scope, str, str, str]


class Registry:
    """Holds the records; `lock` makes check-then-put one step.

    `delete_alarms(scope, names)` is told of the alarms of each policy that goes.
    """

    def __init__(self, delete_alarms: Callable[[Scope, list[str]], None]) -> None:
        self._delete_alarms = delete_alarms
        self.targets: dict[Key, dict] = {}
        self.policies: dict[tuple[Key, str], dict] = {}
        self.schedules: dict[tuple[Key, str], dict] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.activities: list[tuple[Scope, dict]] = []
        self.lock = threading.RLock()

    def of(self, kind: str, key: Key) -> Iterator[dict]:
        """Yield a target's policies or scheduled actions."""
        return (record for (owner, _), record in list(getattr(self, kind).items()) if owner == key)

    def drop(self, key: Key) -> bool:
        """Forget a target and what belongs to it; return whether it was there."""
        target = self.targets.pop(key, None)
        if target is None:
            return False
        self.tags.pop(target["ScalableTargetARN"], None)
        for owner, name in [known for known in self.policies if known[0] == key]:
            self.drop_policy(owner, name)
        for known in [known for known in self.schedules if known[0] == key]:
            self.schedules.pop(known)
        return True

    def drop_policy(self, key: Key, name: str) -> bool:
        """Forget a policy and its alarms; return whether it was there."""
        policy = self.policies.pop((key, name), None)
        if policy is not None:
            self._delete_alarms(key[0], [alarm["AlarmName"] for alarm in policy["Alarms"]])
        return policy is not None

    def scaled_variants(self, scope: Scope, endpoint: str) -> Iterable[str]:
        """Return the variants of an endpoint that are registered as scalable targets."""
        found = [parts(resource) for owner, _, resource, _ in self.targets if owner == scope]
        return [variant for name, variant in found if name == endpoint]

    def forget(self, scope: Scope, endpoint: str) -> None:
        """Deregister what belongs to an endpoint that is deleted, as SageMaker does."""
        with self.lock:
            for key in [k for k in self.targets if k[0] == scope and parts(k[2])[0] == endpoint]:
                self.drop(key)

    def policy(self, arn: str) -> tuple[Key, dict] | None:
        """Return a policy and the key of its target, by ARN."""
        found = ((key, policy) for (key, _), policy in list(self.policies.items()) if policy["PolicyARN"] == arn)
        return next(found, None)

    def note(self, scope: Scope, target: dict, what: str, cause: str, problem: str = "") -> None:
        """Remember an activity: `what` was set (as `desired instance count to 2`) or, because of `problem`, was not."""
        now = time.time()
        activity = {name: target[name] for name in KEY_MEMBERS} | {
            "ActivityId": str(uuid.uuid4()),
            "Description": f"Setting {what}.",
            "Cause": cause,
            "StartTime": now,
            "EndTime": now,
            "StatusCode": "Failed" if problem else "Successful",
            "StatusMessage": f"Failed to set {what}. Reason: {problem}" if problem else f"Successfully set {what}.",
            "_Number": self.activities[-1][1]["_Number"] + 1 if self.activities else 0,
        }
        self.activities = [*self.activities[-MOST_ACTIVITIES:], (scope, activity)]

    def note_capacity(self, scope: Scope, target: dict, count: int, cause: str) -> None:
        self.note(scope, target, f"{DIMENSIONS[target['ScalableDimension']]} to {count}", cause)

    def clear(self) -> None:
        with self.lock:
            for records in (self.targets, self.policies, self.schedules, self.tags, self.activities):
                records.clear()

    def dump(self) -> dict:
        with self.lock:
            named = {
                kind: [[_flat(key), name, _plain(record)] for (key, name), record in getattr(self, kind).items()]
                for kind in KINDS
            }
            targets = [[_flat(key), _plain(target)] for key, target in self.targets.items()]
            return {"targets": targets, "tags": dict(self.tags), **named}

    def load(self, state: dict) -> None:
        with self.lock:
            for key, target in state.get("targets", []):
                self.targets[_key_of(key)] = target
            for kind in KINDS:
                for key, name, record in state.get(kind, []):
                    getattr(self, kind)[_key_of(key), name] = record
            self.tags.update(state.get("tags", {}))


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if not k.startswith("_")}


def _flat(key: Key) -> list[str]:
    scope, *rest = key
    return [scope.account, scope.region, *rest]


def _key_of(flat: list[str]) -> Key:
    account, region, *rest = flat
    return (Scope(account, region), *rest)
