"""CodeDeploy as far as a front door's alias needs it: requests shift to a new version, and back when an alarm rings.

Only what our templates use: Lambda applications and their deployment groups, CodeDeploy's own configurations, alarms,
going back by itself. CloudFormation asks for a shift when an alias with an UpdatePolicy gets another version
(`emulator.py`). Until the shift ends the alias names the old version and gives the new one a weight, as on AWS.
"""

import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from turnout.local.faults import Faults
from turnout.local.sagemaker import refusals, validation
from turnout.local.sagemaker.cloudformation import ResourceFailed, ResourceType
from turnout.local.sagemaker.errors import ApiError, NotEmulated
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.refusals import Refusal

SERVICE = "codedeploy"
POLL_SECONDS = 0.1
MOST_DEPLOYMENTS = 200
MOST_ALARMS = 10
STYLE = {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"}
GOES_BACK_ON = {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"}
APPLICATION_CREATE_ONLY = ("ApplicationName", "ComputePlatform")
GROUP_CREATE_ONLY = ("ApplicationName", "DeploymentGroupName")

#: What CodeDeploy says of alarms, and what CloudFormation makes of a deployment that failed.
ALARMS_RING = (
    "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected "
    "deployments have been stopped. Activated alarms: {names}"
)
FAILED = 'Resource handler returned message: "{id} failed. {why}" (RequestToken: {token}, HandlerErrorCode: {code})'


# When how much goes where


class Step(NamedTuple):
    """Send `share` of the requests to the new version for `minutes` of AWS's time."""

    share: float
    minutes: float


#: CodeDeploy's own configurations for Lambda -> the steps before everything goes to the new version.
CONFIGURATIONS: dict[str, tuple[Step, ...]] = {
    "CodeDeployDefault.LambdaAllAtOnce": (),
    **{f"CodeDeployDefault.LambdaCanary10Percent{n}Minutes": (Step(0.1, n),) for n in (5, 10, 15, 30)},
    **{
        f"CodeDeployDefault.LambdaLinear10PercentEvery{n}Minute{'s' if n > 1 else ''}": tuple(
            Step(tenths / 10, n) for tenths in range(1, 10)
        )
        for n in (1, 2, 3, 10)
    },
}


def share_after(steps: Sequence[Step], minutes: float) -> float:
    """Return the new version's share of the requests `minutes` after the first step."""
    for step in steps:
        if minutes < step.minutes:
            return step.share
        minutes -= step.minutes
    return 1.0


def version_for(alias: Mapping[str, Any], chance: float) -> str | None:
    """Return the version that one request to a Lambda alias goes to, None where only one is possible.

    `chance` is uniform in [0, 1).
    """
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    for version, weight in weights.items():
        if chance < float(weight):
            return version
        chance -= float(weight)
    return alias["FunctionVersion"] if weights else None


class Stop(NamedTuple):
    """Why a shift must not go on: CodeDeploy's error code and message."""

    code: str
    message: str


def why_stop(states: Mapping[str, str], *, asked: bool, cancelled: bool) -> Stop | None:
    """Decide from the alarms' states, and whether somebody stopped the deployment or cancelled the stack's update.

    An alarm that rang before the shift began counts as well: AWS stops such a deployment before it moves anything.
    """
    if ringing := sorted(name for name, state in states.items() if state == "ALARM"):
        return Stop("ALARM_ACTIVE", ALARMS_RING.format(names=" ".join(f"<{name}>" for name in ringing)))
    if asked:
        return Stop("MANUAL_STOP", "The deployment was stopped by a user.")
    return Stop("CLOUDFORMATION_STACK_FAILURE", "The stack's update was cancelled.") if cancelled else None


def policy_of(resource: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, str] | None:
    """Return ApplicationName and DeploymentGroupName of an alias's UpdatePolicy, None if it has none.

    `resource` is the alias in the template, `resources` what the stack has by now. Raises ResourceFailed for what
    our templates do not say: hooks, and names that are neither words nor a Ref.
    """
    whole = resource.get("UpdatePolicy") or {}
    if whole.get("CodeDeployLambdaAliasUpdate") is None:
        return None
    if words := refusals.first(whole, REFUSED_UPDATES):
        raise ResourceFailed(f"CodeDeployLambdaAliasUpdate: {words}.")
    return {member: _named(value, resources) for member, value in whole["CodeDeployLambdaAliasUpdate"].items()}


def _named(value: Any, resources: Mapping[str, Any]) -> str:
    if isinstance(value, str):
        return value
    found = resources.get(value.get("Ref")) if isinstance(value, Mapping) else None
    if found is None:
        raise ResourceFailed(f"CodeDeployLambdaAliasUpdate: {value} is not emulated by the local cloud.")
    return found["PhysicalResourceId"]


# Deployments


@dataclass
class Deployment:
    """One shift of one alias. Moments are seconds since 1970."""

    id: str
    application: str
    group: str
    configuration: str
    began: float
    status: str = "InProgress"
    ended: float | None = None
    code: str = ""
    message: str = ""
    stop_asked: bool = False

    def end(self, status: str, stop: Stop | None = None) -> None:
        self.status, self.ended = status, time.time()
        self.code, self.message = stop or ("", "")

    def to_body(self) -> dict[str, Any]:
        """Return the members of CodeDeploy's DeploymentInfo that apply."""
        body: dict[str, Any] = {
            "deploymentId": self.id,
            "applicationName": self.application,
            "deploymentGroupName": self.group,
            "deploymentConfigName": self.configuration,
            "status": self.status,
            "createTime": self.began,
            "startTime": self.began,
            "creator": "user",
            "computePlatform": "Lambda",
        }
        if self.ended is not None:
            body["completeTime"] = self.ended
        if self.code:
            body["errorInformation"] = {"code": self.code, "message": self.message}
        return body


class DeploymentDoesNotExist(ApiError):
    code, status = "DeploymentDoesNotExistException", 400


class DeploymentAlreadyCompleted(ApiError):
    code, status = "DeploymentAlreadyCompletedException", 400


class Shifting:
    """Applications, deployment groups (by name: names are made, not given) and deployments of one local cloud."""

    def __init__(self, cloud: Cloud, faults: Faults) -> None:
        self.cloud, self._faults = cloud, faults
        self._lock = threading.RLock()
        self.applications: dict[tuple[Scope, str], dict] = {}
        self.groups: dict[tuple[Scope, str], dict] = {}
        self.deployments: dict[tuple[Scope, str], Deployment] = {}
        self._operations = {name: getattr(self, method) for name, method in OPERATIONS.items()}

    def call(self, operation: str, request: dict) -> dict:
        """Answer one operation. Raises ApiError."""
        if operation not in self._operations:
            raise NotEmulated(f"CodeDeploy: {operation} is not emulated by the local cloud.")
        validation.check(operation, request, SERVICE)
        with self._lock:
            return self._operations[operation](self.cloud.scope(), request)

    def list_deployments(self, scope: Scope, request: dict) -> dict:
        """List deployments, the newest first."""
        wanted = (request.get("applicationName"), request.get("deploymentGroupName"))
        statuses = request.get("includeOnlyStatuses")
        found = [
            one.id
            for (owner, _), one in reversed(self.deployments.items())
            if owner == scope
            and all(w is None or w == has for w, has in zip(wanted, (one.application, one.group), strict=True))
            and (not statuses or one.status in statuses)
        ]
        return {"deployments": found}

    def get_deployment(self, scope: Scope, request: dict) -> dict:
        return {"deploymentInfo": self._deployment(scope, request).to_body()}

    def stop_deployment(self, scope: Scope, request: dict) -> dict:
        one = self._deployment(scope, request)
        if one.ended is not None:
            raise DeploymentAlreadyCompleted(f"The deployment {one.id} has already completed.")
        one.stop_asked = True
        return {"status": "Pending", "statusMessage": "The deployment goes back to the old version."}

    def _deployment(self, scope: Scope, request: dict) -> Deployment:
        found = self.deployments.get((scope, request["deploymentId"]))
        if found is None:
            raise DeploymentDoesNotExist(f"The deployment {request['deploymentId']} could not be found")
        return found

    def shift(
        self,
        policy: Mapping[str, str],
        weigh: Callable[[float], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Shift requests to a new version as the policy's group says, and return when all of them go there.

        `weigh(share)` gives the new version that share of the requests. Raises ResourceFailed, with everything back
        at the old version, when an alarm of the group rings or somebody stops the deployment or the update.
        """
        scope = self.cloud.scope()
        group = self.groups.get((scope, policy["DeploymentGroupName"]))
        if group is None or group["ApplicationName"] != policy["ApplicationName"]:
            raise ResourceFailed(f"No Deployment Group found for name: {policy['DeploymentGroupName']}")
        one = self._begin(scope, group, policy["DeploymentGroupName"])
        try:
            stop = self._walk(scope, group, one, weigh, cancelled)
            if stop is not None:
                weigh(0.0)
        except Exception as error:
            one.end("Failed", Stop("INTERNAL_ERROR", str(error)))
            raise
        one.end("Stopped" if stop else "Succeeded", stop)
        if stop is not None:
            token = f"{secrets.token_hex(4)}-{secrets.token_hex(6)}"
            raise ResourceFailed(FAILED.format(id=one.id, why=stop.message, token=token, code="InternalFailure"))

    def _begin(self, scope: Scope, group: Mapping[str, Any], name: str) -> Deployment:
        identity = "d-" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))
        one = Deployment(identity, group["ApplicationName"], name, group["DeploymentConfigName"], time.time())
        with self._lock:
            self.deployments[scope, identity] = one
            for key in list(self.deployments)[:-MOST_DEPLOYMENTS]:
                del self.deployments[key]
        return one

    def _walk(
        self,
        scope: Scope,
        group: Mapping[str, Any],
        one: Deployment,
        weigh: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> Stop | None:
        """Take the steps one after the other; return why they were not all taken."""
        steps, alarms = CONFIGURATIONS[group["DeploymentConfigName"]], _alarms(group)
        share, minutes, last = 0.0, 0.0, time.monotonic()
        while share < 1:
            stop = why_stop(self.cloud.alarm_states(scope, alarms), asked=one.stop_asked, cancelled=cancelled())
            if stop is not None:
                return stop
            if (due := share_after(steps, minutes)) != share:
                weigh(due)
                share = due
            else:
                time.sleep(POLL_SECONDS)
            now = time.monotonic()
            minutes, last = minutes + (now - last) * self._faults.time_scale / 60, now
        return None

    def reset(self) -> None:
        with self._lock:
            for kept in (self.applications, self.groups, self.deployments):
                kept.clear()

    def dump(self) -> dict:
        with self._lock:
            return {
                name: [[scope.account, scope.region, key, value] for (scope, key), value in kept]
                for name, kept in (
                    ("applications", self.applications.items()),
                    ("groups", self.groups.items()),
                    ("deployments", [(key, asdict(one)) for key, one in self.deployments.items() if one.ended]),
                )
            }

    def load(self, state: dict) -> None:
        with self._lock:
            for name in ("applications", "groups"):
                for account, region, key, value in state.get(name, []):
                    getattr(self, name)[Scope(account, region), key] = value
            for account, region, key, value in state.get("deployments", []):
                self.deployments[Scope(account, region), key] = Deployment(**value)


#: Operation -> method of Shifting.
OPERATIONS = {
    "ListDeployments": "list_deployments",
    "GetDeployment": "get_deployment",
    "StopDeployment": "stop_deployment",
}


def _alarms(group: Mapping[str, Any]) -> list[str]:
    """Return the alarms that a group watches."""
    configuration = group.get("AlarmConfiguration") or {}
    return [alarm["Name"] for alarm in configuration.get("Alarms", [])] if _on(configuration) else []


def _on(configuration: Mapping[str, Any]) -> bool:
    return str(configuration.get("Enabled")).lower() == "true"  # templates may spell it as text


# CloudFormation


def resource_types(shifting: Shifting) -> dict[str, ResourceType]:
    """Return the CloudFormation types that CodeDeploy provides, by name."""
    return {
        "AWS::CodeDeploy::Application": _type(
            shifting, shifting.applications, "ApplicationName", APPLICATION_CREATE_ONLY, _check_application
        ),
        "AWS::CodeDeploy::DeploymentGroup": _type(
            shifting, shifting.groups, "DeploymentGroupName", GROUP_CREATE_ONLY, _check_group
        ),
    }


def _type(
    shifting: Shifting,
    kept: dict[tuple[Scope, str], dict],
    name_property: str,
    create_only: tuple[str, ...],
    check: Callable[[dict], None],
) -> ResourceType:
    """Return a type whose resources are their properties, kept under their name."""

    def create(name: str, properties: dict) -> tuple[str, dict]:
        name = properties.get(name_property) or name
        check(properties)
        if (shifting.cloud.scope(), name) in kept:
            raise ResourceFailed(f"{name_property} {name} already exists")
        kept[shifting.cloud.scope(), name] = properties
        return name, {}

    def update(name: str, old: dict, new: dict) -> tuple[str, dict]:
        check(new)
        kept[shifting.cloud.scope(), name] = new
        return name, {}

    def delete(name: str) -> None:
        kept.pop((shifting.cloud.scope(), name), None)

    return ResourceType(create, update, delete, create_only, name_property)


def _goes_back_seldom(settings: Any) -> bool:
    """Whether a group does not go back on everything that it may go back on."""
    if not isinstance(settings, Mapping) or not _on(settings):
        return True
    return not all(event in (settings.get("Events") or []) for event in GOES_BACK_ON)


def _can_be_obeyed(policy: Any) -> bool:
    """Whether an alias's update policy has no hooks, and names that are words or a Ref."""
    if not isinstance(policy, Mapping):
        return False
    named = all(isinstance(name, str) or (isinstance(name, Mapping) and "Ref" in name) for name in policy.values())
    return named and set(policy) <= {"ApplicationName", "DeploymentGroupName"}


#: What is refused although AWS takes it, in applications, groups and the update policies of aliases.
REFUSED_APPLICATIONS = (
    Refusal(("ComputePlatform",), lambda name: name != "Lambda", "ComputePlatform: only Lambda is emulated"),
)
REFUSED_GROUPS = (
    Refusal(
        ("DeploymentConfigName",),
        lambda name: name not in list(CONFIGURATIONS),
        f"DeploymentConfigName {{}} is not emulated, these are: {', '.join(CONFIGURATIONS)}",
    ),
    Refusal(
        ("AutoRollbackConfiguration",),
        _goes_back_seldom,
        f"AutoRollbackConfiguration with less than {', '.join(sorted(GOES_BACK_ON))} is not emulated",
    ),
)
REFUSED_UPDATES = (
    Refusal(
        ("CodeDeployLambdaAliasUpdate",),
        lambda policy: policy is not None and not _can_be_obeyed(policy),
        "anything but ApplicationName and DeploymentGroupName, each a word or a Ref, is not emulated",
    ),
)


def _check_application(properties: dict) -> None:
    if words := refusals.first(properties, REFUSED_APPLICATIONS):
        raise ResourceFailed(f"{words}.")


def _check_group(properties: dict) -> None:
    """Raise ResourceFailed for a group that CodeDeploy refuses or that is not emulated."""
    if words := refusals.first(properties, REFUSED_GROUPS):
        raise ResourceFailed(f"{words}.")
    if properties.get("DeploymentStyle") != STYLE:
        raise ResourceFailed("For Lambda, deployment type must be BLUE_GREEN and option WITH_TRAFFIC_CONTROL")
    if len(_alarms(properties)) > MOST_ALARMS:
        raise ResourceFailed(f"The maximum number of alarms for a deployment group ({MOST_ALARMS}) was exceeded.")
