"""What happens to an endpoint over time, each change in a thread of its own.

Creating -> InService | Failed; Updating -> InService, or RollingBack -> InService on the old configuration with a
FailureReason; Deleting -> gone. An update brings a whole new fleet up before any traffic moves (blue/green).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from turnout.local.faults import Faults
from turnout.local.sagemaker.hosting import capture, deployment, kinds, metering, usage
from turnout.local.sagemaker.hosting.fleet import Fleet, FleetFailed, Variant
from turnout.local.sagemaker.hosting.kinds import Kind, kind_of
from turnout.local.sagemaker.hosting.queueing import Queue
from turnout.local.sagemaker.ports import Cloud, Scope
from turnout.local.sagemaker.store import Store

STATE_CHANGE, DEPLOYMENT_CHANGE = "SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"
DRAIN_SECONDS = 70  # a request may take 60 s
ROLLBACK_SECONDS = 60  # of AWS's time, so that RollingBack can be seen
REVIVE_SECONDS = 60
TICK_SECONDS = 1.0
GAUGE_SECONDS = 60  # of AWS's time between two values of a gauge
SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
MAX_FAILURE_REASON = 1024
ALARMED = "One or more configured alarms in the deployment are in ALARM state: {}"

logger = logging.getLogger("turnout.sagemaker")


class Stopped(Exception):
    """The endpoint was deleted, or the cloud goes down, while something was under way."""


class Stage(NamedTuple):
    """What is being done to a variant, as DescribeEndpoint's VariantStatus has it."""

    Status: str
    StatusMessage: str
    StartTime: float


class Wanted(NamedTuple):
    """Another instance count, weight or serverless settings of a variant; None leaves one as it is."""

    count: int | None
    weight: float | None
    serverless: Mapping[str, int] | None

    @classmethod
    def of(cls, change: Mapping[str, Any]) -> "Wanted":
        """Read one of UpdateEndpointWeightsAndCapacities' DesiredWeightsAndCapacities."""
        return cls(*(change.get(m) for m in ("DesiredInstanceCount", "DesiredWeight", "ServerlessUpdateConfig")))


@dataclass
class Live:
    """An endpoint at work: which fleets take its traffic, in shares that sum to 1.

    `starting` is the fleet that is coming up, `incoming` the one that a deployment is moving to, and `stages` says how
    far each of its variants is, or those of the fleet in force while their instance count changes.
    """

    scope: Scope
    record: dict
    fleets: list[tuple[Fleet, float]] = field(default_factory=list)
    starting: Fleet | None = None
    incoming: Fleet | None = None
    stages: dict[str, Stage] = field(default_factory=dict)
    queue: Queue | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def fleet(self) -> Fleet | None:
        """The fleet of the configuration in force."""
        return self.fleets[0][0] if self.fleets else None

    def all_fleets(self) -> list[Fleet]:
        return [fleet for fleet, _ in self.fleets] + ([self.starting] if self.starting else [])


class Endpoints:
    """Starts, changes and ends endpoints."""

    def __init__(self, cloud: Cloud, store: Store, faults: Faults) -> None:
        self.cloud, self.store, self.faults = cloud, store, faults
        self.captures = capture.Captures(cloud)
        self._live: dict[tuple[Scope, str], Live] = {}
        self._ticker: threading.Thread | None = None
        self._pingers = ThreadPoolExecutor(4, thread_name_prefix="ping")

    # What the control plane asks for

    def create(self, scope: Scope, record: dict, config: dict, counts: dict[str, int]) -> None:
        live = self._live[scope, record["EndpointName"]] = Live(scope, record)
        self._spawn(live, self._create, config, counts)

    def update(
        self, scope: Scope, record: dict, config: dict, counts: dict[str, int], weights: dict[str, float], how: dict
    ) -> None:
        live = self._live[scope, record["EndpointName"]]
        record["EndpointStatus"] = "Updating"
        self._spawn(live, self._update, config, counts, weights, how)

    def set_capacity(self, scope: Scope, record: dict, wanted: Mapping[str, Wanted]) -> None:
        """Have other capacities and weights of variants, by name."""
        live = self._live[scope, record["EndpointName"]]
        record["EndpointStatus"] = "Updating"
        self._spawn(live, self._set_capacity, wanted)

    def delete(self, scope: Scope, record: dict) -> None:
        live = self._live.setdefault((scope, record["EndpointName"]), Live(scope, record))
        live.ended.set()
        record["EndpointStatus"] = "Deleting"
        self._spawn(live, self._delete)

    def find(self, scope: Scope, name: str) -> Live | None:
        return self._live.get((scope, name))

    def wait(self, scope: Scope, name: str, seconds: float) -> dict | None:
        """Return the endpoint's record once nothing is under way, or after `seconds`; None when it is gone."""
        deadline = time.monotonic() + seconds
        while True:
            record = self.store.get("endpoints", scope, name)
            if record is None or record["EndpointStatus"] in SETTLED or time.monotonic() >= deadline:
                return record
            time.sleep(0.05)

    def stop_all(self) -> None:
        """End every process: the local cloud goes down, or forgets its state."""
        self.remember_capacities()
        living = list(self._live.values())
        self._live.clear()
        for live in living:
            live.ended.set()
            if live.queue:
                live.queue.stop()
        for live in living:
            for fleet in live.all_fleets():
                fleet.stop()

    def remember_capacities(self) -> None:
        """Write into the records what an endpoint needs to come back with the same capacity."""
        for live in list(self._live.values()):
            if live.fleet is not None:
                live.record["_Variants"] = [summary(variant, {}) for variant in live.fleet.variants.values()]

    def revive(self) -> None:
        """Start again, in the background, the endpoints that were in service when the state was saved."""
        for scope, record in self.store.items("endpoints"):
            if record["EndpointStatus"] == "Failed":
                continue
            live = self._live[scope, record["EndpointName"]] = Live(scope, record)
            record["EndpointStatus"] = "SystemUpdating"
            self._spawn(live, self._revive)

    # The changes

    def _spawn(self, live: Live, work: Callable, *args: Any) -> None:
        self._start_ticker()
        name = f"endpoint-{live.record['EndpointName']}"
        threading.Thread(target=self._run, args=(live, work, *args), daemon=True, name=name).start()

    def _run(self, live: Live, work: Callable, *args: Any) -> None:
        with self.cloud.enter(live.scope):
            try:
                self._announce(live)
                work(live, *args)
            except Stopped:
                logger.info("endpoint %s: ended while something was under way", live.record["EndpointName"])
            except Exception as error:
                logger.exception("endpoint %s", live.record["EndpointName"])
                self._end(live, "Failed", f"InternalServerError: {type(error).__name__}: {error}")

    def _create(self, live: Live, config: dict, counts: dict[str, int]) -> None:
        weights = {v["VariantName"]: v.get("InitialVariantWeight", 1.0) for v in config["ProductionVariants"]}
        try:
            fleet = self._bring_up(live, config, counts, weights)
        except FleetFailed as error:
            self._end(live, "Failed", str(error))
            return
        self._serve(live, fleet)
        self._end(live, "InService")

    def _bring_up(self, live: Live, config: dict, counts: dict[str, int], weights: dict[str, float]) -> Fleet:
        """Return a fleet that answers pings. Raises FleetFailed, or Stopped when nobody wants it any more."""
        name = live.record["EndpointName"]
        names, kept = {v["ModelName"] for v in config["ProductionVariants"]}, live.record.get("_Models", {})
        models = {model: self.store.get("models", live.scope, model) or kept.get(model) for model in names}
        if missing := [model for model, record in models.items() if record is None]:
            raise FleetFailed(f"Could not find model {missing[0]}; it was deleted meanwhile.")
        live.starting = fleet = Fleet(self.cloud, live.scope, self.faults, name, config, models)
        try:
            if live.ended.is_set():
                raise Stopped
            if live.fleets:
                live.incoming = fleet
                self._enter(live, counts, "Creating", "Launching {} instance(s).")
            fleet.start(counts, weights)
        except FleetFailed:
            self._check(live)
            raise
        finally:
            live.starting = None
        if live.ended.is_set():
            fleet.stop()
            raise Stopped
        return fleet

    def _check(self, live: Live) -> None:
        if live.ended.is_set():
            raise Stopped

    def _serve(self, live: Live, fleet: Fleet) -> None:
        with live.lock:
            if live.ended.is_set():
                fleet.stop()
                raise Stopped
            live.fleets = [(fleet, 1.0)]
            live.record["_Models"] = dict(fleet.models)
            if kind_of(fleet.config) == Kind.ASYNC and live.queue is None:
                live.queue = Queue(self.cloud, live.scope, self.faults, live)
                live.queue.start()

    def _update(self, live: Live, config: dict, counts: dict[str, int], weights: dict[str, float], how: dict) -> None:
        record, old = live.record, live.fleet
        record["PendingDeploymentSummary"] = {
            "EndpointConfigName": config["EndpointConfigName"],
            "StartTime": time.time(),
        }
        try:
            new = self._bring_up(live, config, counts, weights)
        except FleetFailed as error:
            self._roll_back(live, str(error))
            return
        try:
            reason = self._move_traffic(live, old, new, how)
        except Stopped:
            for fleet in (old, new):
                fleet.stop()
            raise
        if reason:
            live.fleets = [(old, 1.0)]
            new.retire(DRAIN_SECONDS)
            self._roll_back(live, reason)
            return
        record.update(EndpointConfigName=config["EndpointConfigName"], _Config=config)
        record["LastDeploymentConfig"] = how or deployment.DEFAULT
        self._serve(live, new)
        self._enter(live, new.counts(), "Deleting", "Terminating {} instance(s).")
        old.retire(DRAIN_SECONDS)
        self._end(live, "InService")

    def _move_traffic(self, live: Live, old: Fleet, new: Fleet, how: dict) -> str | None:
        """Shift traffic step by step; return why it has to go back, if it has to."""
        alarms, counts = deployment.alarm_names(how), new.counts()
        for step in deployment.steps(how, new.instances()):
            part = {name: max(round(count * step.share), 1) for name, count in counts.items()}
            capacity = f"{'full' if step.share == 1 else 'canary'} capacity of {{}} instance(s)."
            self._enter(live, part, "ActivatingTraffic", f"Activating traffic on {capacity}")
            with live.lock:
                live.fleets = [(old, 1 - step.share), (new, step.share)] if step.share < 1 else [(new, 1.0)]
            if reason := self._bake(live, part, alarms, step.wait, capacity):
                return reason
        return self._bake(live, counts, alarms, deployment.bake_seconds(how), capacity)

    def _bake(self, live: Live, counts: Mapping[str, int], alarms: list[str], wait: float, capacity: str) -> str | None:
        if wait:
            self._enter(live, counts, "Baking", f"Baking for {wait:g} seconds with traffic enabled on {capacity}")
        return self._watch(live, alarms, self.faults.seconds(wait))

    def _watch(self, live: Live, alarms: list[str], seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        while True:
            states = self.cloud.alarm_states(live.scope, alarms) if alarms else {}
            if alarmed := [name for name, state in states.items() if state == "ALARM"]:
                return ALARMED.format(", ".join(alarmed))
            self._check(live)
            if (left := deadline - time.monotonic()) <= 0:
                return None
            live.ended.wait(min(left, 0.5))

    def _roll_back(self, live: Live, reason: str) -> None:
        """Stay on the old configuration, as silently as SageMaker: only the reason tells."""
        live.record["EndpointStatus"] = "RollingBack"
        live.record["FailureReason"] = reason[:MAX_FAILURE_REASON]
        self._announce(live)
        live.ended.wait(self.faults.seconds(ROLLBACK_SECONDS))
        self._check(live)
        self._end(live, "InService", reason)

    def _set_capacity(self, live: Live, wanted: Mapping[str, Wanted]) -> None:
        try:
            for name, change in wanted.items():
                self._change_variant(live, live.fleet.variants[name], change)
        except FleetFailed as error:
            self._check(live)
            self._end(live, "InService", str(error))
            return
        self._check(live)
        self._end(live, "InService")

    def _change_variant(self, live: Live, variant: Variant, change: Wanted) -> None:
        if change.weight is not None:
            variant.weight = change.weight
        if change.serverless:
            variant.provision(change.serverless)
        if change.count is not None:
            way, variant.desired = "out" if change.count > variant.desired else "in", change.count
            message = f"Scaling {way} desired instance count to {{}}."
            self._enter(live, {variant.name: change.count}, "Updating", message)
            variant.scale(change.count)

    def _delete(self, live: Live) -> None:
        if live.queue:
            live.queue.stop()
        for fleet in live.all_fleets():
            fleet.retire(DRAIN_SECONDS)
        self.captures.write()
        name = live.record["EndpointName"]
        if self._live.get((live.scope, name)) is live:
            self._live.pop((live.scope, name))
            self.store.remove("endpoints", live.scope, name)
            self.store.remove("tags", live.scope, live.record["EndpointArn"])

    def _revive(self, live: Live) -> None:
        saved = {v["VariantName"]: v for v in live.record.pop("_Variants", [])}
        counts = {name: v.get("DesiredInstanceCount", 0) for name, v in saved.items()}
        weights = {name: v["DesiredWeight"] for name, v in saved.items()}
        config = kinds.with_serverless(live.record["_Config"], saved)
        self._wait_for_storage(live)
        try:
            fleet = self._bring_up(live, config, counts, weights)
        except FleetFailed as error:
            self._end(live, "Failed", str(error))
            return
        self._serve(live, fleet)
        self._end(live, "InService", live.record.get("FailureReason"))

    def _wait_for_storage(self, live: Live) -> None:
        """Wait until this cloud answers: state is loaded before it does."""
        from botocore.exceptions import BotoCoreError

        deadline = time.monotonic() + REVIVE_SECONDS
        while time.monotonic() < deadline:
            self._check(live)
            try:
                self.cloud.client("s3", live.scope).list_buckets()
            except BotoCoreError:
                time.sleep(0.2)
                continue
            return

    def _end(self, live: Live, status: str, reason: str | None = None) -> None:
        record = live.record
        with live.lock:
            if live.ended.is_set():
                return
            record.pop("PendingDeploymentSummary", None)
            record.pop("FailureReason", None)
            live.incoming, live.stages = None, {}
            if reason:
                record["FailureReason"] = reason[:MAX_FAILURE_REASON]
            record["LastModifiedTime"] = time.time()
            record["EndpointStatus"] = status
        logger.info("endpoint %s %s %s", record["EndpointName"], status, reason or "")
        self._announce(live)

    def _announce(self, live: Live, event_type: str = STATE_CHANGE) -> None:
        tags = self.store.get("tags", live.scope, live.record["EndpointArn"]) or {}
        detail = in_milliseconds(describe(live.record, live) | {"Tags": tags})
        detail["EndpointStatus"] = event_status(detail["EndpointStatus"])
        if event_type == STATE_CHANGE:
            detail.pop("PendingDeploymentSummary", None)
        self.cloud.publish_event(live.scope, event_type, detail, [live.record["EndpointArn"]])

    def _enter(self, live: Live, counts: Mapping[str, int], status: str, message: str) -> None:
        """Say how far a deployment or a change of capacity is; `{}` in the message is a variant's instance count."""
        live.stages = {name: Stage(status, message.format(count), time.time()) for name, count in counts.items()}
        self._announce(live, DEPLOYMENT_CHANGE)

    # Once a second

    def _start_ticker(self) -> None:
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, daemon=True, name="endpoint-ticker")
            self._ticker.start()

    def _tick(self) -> None:
        """Look after the endpoints for ever: gauges once in a minute of AWS, use of the machine every few seconds."""
        next_gauge = next_use = 0.0
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            gauges, use = now >= next_gauge, now >= next_use
            next_gauge = now + self.faults.seconds(GAUGE_SECONDS) - TICK_SECONDS / 2 if gauges else next_gauge
            next_use = now + metering.USAGE_SECONDS - TICK_SECONDS / 2 if use else next_use
            try:
                self._look(gauges, usage.processes() if use and self._live else None)
            except Exception:
                logger.exception("looking after endpoints")  # the next look may succeed

    def _look(self, gauges: bool, table: Mapping[int, usage.Use] | None) -> None:
        for live in list(self._live.values()):
            for variant in [variant for fleet in live.all_fleets() for variant in fleet.variants.values()]:
                variant.end_idle()
                variant.replace_dead()
                self._pingers.submit(variant.ping)
                if table:
                    name, namespace = live.record["EndpointName"], metering.USAGE_NAMESPACE
                    metering.record(self.cloud, live.scope, variant.utilization(table), name, variant.name, namespace)
            if gauges and live.queue and live.fleet:
                self._gauge(live)
        if gauges:
            self.captures.write()

    def _gauge(self, live: Live) -> None:
        waiting, oldest = live.queue.backlog()
        values = metering.backlog_values(waiting, oldest, live.fleet.instances())
        metering.record(self.cloud, live.scope, values, live.record["EndpointName"])


def event_status(status: str) -> str:
    """Return a status as EventBridge spells it: IN_SERVICE for InService."""
    words = "".join(f"_{letter}" if letter.isupper() else letter for letter in status)
    return words.strip("_").upper()


def in_milliseconds(value: Any) -> Any:
    """Return a description as events have it: times are whole milliseconds."""
    if isinstance(value, Mapping):
        return {k: int(v * 1000) if k.endswith("Time") else in_milliseconds(v) for k, v in value.items()}
    return [in_milliseconds(item) for item in value] if isinstance(value, list) else value


def describe(record: Mapping[str, Any], live: Live | None) -> dict:
    """Return DescribeEndpoint's answer."""
    shown = {name: value for name, value in record.items() if not name.startswith("_")}
    if live is None or live.fleet is None:
        return shown
    config, moving = live.fleet.config, live.incoming is not None
    stages = {} if moving else live.stages
    shown["ProductionVariants"] = [summary(variant, stages) for variant in live.fleet.variants.values()]
    if "PendingDeploymentSummary" in shown and moving:
        pending = [_pending(variant, live.stages) for variant in live.incoming.variants.values()]
        shown["PendingDeploymentSummary"] = shown["PendingDeploymentSummary"] | {"ProductionVariants": pending}
    shown |= {name: config[name] for name in ("AsyncInferenceConfig", "MetricsConfig") if name in config}
    if "DataCaptureConfig" in config:
        shown["DataCaptureConfig"] = capture.summary(config["DataCaptureConfig"])
    return shown


def summary(variant: Variant, stages: Mapping[str, Stage]) -> dict:
    """Return one variant as DescribeEndpoint shows it."""
    image = {"SpecifiedImage": variant.image, "ResolvedImage": variant.image, "ResolutionTime": variant.created}
    shown = {
        "VariantName": variant.name,
        "DeployedImages": [image],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
    }
    if stage := stages.get(variant.name):
        shown["VariantStatus"] = [stage._asdict()]
    if "RoutingConfig" in variant.settings:
        shown["RoutingConfig"] = variant.settings["RoutingConfig"]
    if variant.serverless:
        settings = variant.settings["ServerlessConfig"]
        return shown | {"CurrentServerlessConfig": settings, "DesiredServerlessConfig": settings}
    return shown | {"CurrentInstanceCount": variant.current, "DesiredInstanceCount": variant.desired}


def _pending(variant: Variant, stages: Mapping[str, Stage]) -> dict:
    kind = {} if variant.serverless else {"InstanceType": variant.settings["InstanceType"]}
    return summary(variant, stages) | kind
