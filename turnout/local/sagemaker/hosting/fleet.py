"""The processes behind one endpoint configuration, leased to requests.

A lease is one request in one process. A fleet that is retired gives no new leases, lets the leased ones come to
their end and stops its processes then, so that no request is lost when traffic moves to another fleet.
"""

import contextlib
import logging
import random
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnout.local.faults import Faults
from turnout.local.sagemaker.artifact import BadArtifact, definitions, fetch_model, remove
from turnout.local.sagemaker.container import Container, ContainerFailed, LogShipper
from turnout.local.sagemaker.containers import open_container
from turnout.local.sagemaker.data_log import DataLog
from turnout.local.sagemaker.hosting import usage
from turnout.local.sagemaker.hosting.kinds import Kind, is_serverless, kind_of
from turnout.local.sagemaker.hosting.metering import Value
from turnout.local.sagemaker.ports import Cloud, Scope

LOG_GROUP = "/aws/sagemaker/Endpoints"
#: Real processes behind one variant, however many instances it is said to have.
MAX_PROCESSES = 8
#: Of a serverless variant without provisioned concurrency: a burst must not start a dozen at once on a laptop.
MAX_ON_DEMAND = 2
MAX_SESSIONS = 10_000  # remembered per variant; the oldest is forgotten
STARTUP_SECONDS = {True: 180, False: 240}  # by whether it is serverless; SageMaker's limits, not scaled
SERVERLESS_IDLE_SECONDS = 1800  # of AWS's time, until an idle serverless process ends
HANG_POLL_SECONDS = 0.2
PING_SECONDS = 3  # between two pings of an idle process
FAILED_PINGS = 2  # in a row, until a process is replaced
WAIT_FOR_INSTANCE_SECONDS = 60
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)

logger = logging.getLogger("turnout.sagemaker")


class FleetFailed(Exception):
    """The fleet cannot come up; the message is the endpoint's FailureReason."""


class Retired(Exception):
    """The fleet takes no more requests: another one does."""


class Throttled(Exception):
    """A serverless variant runs as many requests as MaxConcurrency allows."""


class NoInstance(Exception):
    """No process can take the request now."""


class NotReady(Exception):
    """A serverless process did not come up in time for the request."""


@dataclass
class Instance:
    """One process. `busy` counts the requests in it; only asynchronous endpoints have a data log."""

    identity: str
    container: Container
    logs: contextlib.ExitStack
    data_log: DataLog | None
    busy: int = 0
    failed_pings: int = 0
    idle_since: float = field(default_factory=time.monotonic)

    def stop(self) -> None:
        self.container.stop()
        self.logs.close()


@dataclass(frozen=True)
class Lease:
    """One request's place in a process. `cold` is what it waited for the process to start, in seconds.

    `concurrent` counts the requests in the process, `running` those in the variant, this one among them.
    """

    variant: "Variant"
    instance: Instance
    cold: float
    concurrent: int
    running: int


class Variant:
    """The processes of one production variant."""

    def __init__(
        self,
        cloud: Cloud,
        scope: Scope,
        faults: Faults,
        endpoint: str,
        settings: dict,
        model: dict,
        asynchronous: bool = False,
    ) -> None:
        self.settings, self.name, self.serverless = settings, settings["VariantName"], is_serverless(settings)
        self.desired, self.weight, self.created = 0, 1.0, time.time()
        self.image = definitions(model)[0].get("Image", "")
        self._cloud, self._scope, self._faults, self._endpoint, self._model = cloud, scope, faults, endpoint, model
        self._asynchronous = asynchronous
        self._changed = threading.Condition()
        self._instances: list[Instance] = []
        self._launching: list[Container] = []
        self._sessions: dict[str, Instance] = {}
        self._utilization = usage.Utilization()
        self._disk_percent = 0.0
        self._starting = 0
        self._replacing = 0
        self._next_ping = 0.0
        self._busy = 0
        self._retired = False
        self._folder = cloud.work_dir / f"endpoint-{endpoint}-{self.name}-{uuid.uuid4().hex[:8]}"

    # Capacity

    def start(self, desired: int) -> None:
        """Bring up the first processes. Raises FleetFailed."""
        self._model_dir = self._fetch()
        stored = sum(path.stat().st_size for path in self._model_dir.rglob("*") if path.is_file())
        self._disk_percent = stored / shutil.disk_usage(self._model_dir).total * 100
        with self._changed:
            self.desired = desired
        self._grow(max(self._provisioned(), 1) if self.serverless else min(desired, MAX_PROCESSES))

    def scale(self, desired: int) -> None:
        """Have `desired` instances. Processes that go finish their requests first. Raises FleetFailed."""
        with self._changed:
            self.desired = desired
            surplus = [i for i in self._by_load()[min(desired, MAX_PROCESSES) :] if not self.serverless]
            self._instances = [i for i in self._instances if i not in surplus]
            missing = min(desired, MAX_PROCESSES) - len(self._instances)
        for instance in surplus:
            threading.Thread(target=self._finish, args=(instance,), daemon=True, name="scale-in").start()
        if not self.serverless:
            self._grow(missing)

    def provision(self, changes: Mapping[str, int]) -> None:
        """Have another MaxConcurrency, and processes ready for another ProvisionedConcurrency. Raises FleetFailed."""
        with self._changed:
            settings = {**self.settings["ServerlessConfig"], **changes}
            self.settings = {**self.settings, "ServerlessConfig": settings}
            missing = self._provisioned() - len(self._instances)
        self._grow(missing)

    def _provisioned(self) -> int:
        return min(self.settings["ServerlessConfig"].get("ProvisionedConcurrency", 0), MAX_PROCESSES)

    def capacity(self, member: str) -> int | None:
        """Return the DesiredInstanceCount or DesiredProvisionedConcurrency, None for a variant that has none."""
        if self.serverless:
            concurrency = self.settings["ServerlessConfig"].get("ProvisionedConcurrency")
            return concurrency if member == "DesiredProvisionedConcurrency" else None
        return self.desired if member == "DesiredInstanceCount" else None

    def _grow(self, count: int) -> None:
        if count <= 0:
            return
        with ThreadPoolExecutor(count, thread_name_prefix="start-instance") as starters:
            results = [starters.submit(self._in_scope, self._add) for _ in range(count)]
            errors = [error for result in results if (error := result.exception())]
        if errors:
            raise errors[0]

    def _in_scope(self, work: Callable, *args: Any) -> Any:
        with self._cloud.enter(self._scope):
            return work(*args)

    def _add(self) -> Instance:
        """Start one process and put it among the others; one that comes too late ends again. Raises FleetFailed."""
        with self._changed:
            self._starting += 1
        try:
            instance = self._launch()
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify_all()
        with self._changed:
            late = self._retired
            if not late:
                self._instances.append(instance)
                self._changed.notify_all()
        if late:
            instance.stop()
            raise FleetFailed("The endpoint was deleted or stopped meanwhile.")
        return instance

    def _launch(self) -> Instance:
        self._wait_for_capacity()
        identity = f"i-{secrets.token_hex(9)[:17]}"
        log_file = self._cloud.log_dir / "endpoints" / f"{self._endpoint}-{self.name}-{identity}.log"
        seconds = self.settings.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS[self.serverless])
        container = open_container(
            self._model,
            self._model_dir,
            self._environment(),
            log_file,
            start_seconds=seconds,
            memory_mb=self.settings.get("ServerlessConfig", {}).get("MemorySizeInMB", 0),
        )
        with contextlib.ExitStack() as logs:
            data_log = self._logs(logs, identity, log_file)
            self._launching.append(container)
            try:
                container.__enter__()
            except ContainerFailed as error:
                raise FleetFailed(
                    f"The primary container for production variant {self.name} did not pass the ping health check. "
                    f"Please check CloudWatch logs for this endpoint. ({error})"
                ) from error
            finally:
                self._launching.remove(container)
            return Instance(identity, container, logs.pop_all(), data_log)

    def _logs(self, stack: contextlib.ExitStack, identity: str, log_file: Path) -> DataLog | None:
        """Ship the container's log and, of an asynchronous endpoint, the data log, under SageMaker's names for them."""
        logs = self._cloud.client("logs", self._scope)
        group, stream = f"{LOG_GROUP}/{self._endpoint}", f"{self.name}/{identity}"
        stack.enter_context(LogShipper(logs, log_file, group, stream))
        if not self._asynchronous:
            return None
        data_file = log_file.with_name(f"{log_file.stem}-data.log")
        data_file.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(LogShipper(logs, data_file, group, f"{stream}/data-log"))
        return stack.enter_context(contextlib.closing(DataLog(data_file)))

    def _wait_for_capacity(self) -> None:
        if self._faults.endpoint_starts == "fail":
            raise FleetFailed(NO_CAPACITY)
        while self._faults.endpoint_starts == "never":
            if self._retired:
                raise FleetFailed("The endpoint was deleted or stopped meanwhile.")
            time.sleep(HANG_POLL_SECONDS)

    def _fetch(self) -> Path:
        folder = self._folder / "model"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fetch_model(self._cloud.client("s3", self._scope), self._model, folder)
        except BadArtifact as error:
            raise FleetFailed(str(error)) from error
        return folder

    def _environment(self) -> dict[str, str]:
        return {
            "SAGEMAKER_REGION": self._scope.region,
            "AWS_REGION": self._scope.region,
            "AWS_DEFAULT_REGION": self._scope.region,
            "AWS_ENDPOINT_URL": self._cloud.endpoint_url(),
            "AWS_ACCESS_KEY_ID": self._scope.account,
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    # Leases

    @property
    def current(self) -> int:
        """How many instances there are: as many as are wanted, once the processes that stand for them are up."""
        running = self.running()
        return self.desired if running >= min(self.desired, MAX_PROCESSES) else running

    def running(self) -> int:
        """How many processes there are."""
        with self._changed:
            return len(self._instances)

    def data_log(self) -> DataLog | None:
        """Return the data log of one of the processes; None when there is none."""
        with self._changed:
            return self._instances[0].data_log if self._instances else None

    @contextlib.contextmanager
    def lease(self, session: str | None = None) -> Iterator[Lease]:
        """Lend a process to one request, that of its session if it has one.

        Raises Retired, Throttled, NoInstance or NotReady.
        """
        began = time.monotonic()
        self._admit()
        try:
            instance = self._take(session)
        except BaseException:
            self._leave()
            raise
        try:
            yield Lease(self, instance, time.monotonic() - began, instance.busy, self._busy)
        finally:
            self._leave(instance)

    def _admit(self) -> None:
        with self._changed:
            if self._retired:
                raise Retired
            if self.serverless and self._busy >= self.settings["ServerlessConfig"]["MaxConcurrency"]:
                raise Throttled
            self._busy += 1

    def _leave(self, instance: Instance | None = None) -> None:
        with self._changed:
            self._busy -= 1
            if instance is not None:
                instance.busy -= 1
                instance.idle_since = time.monotonic()
            self._changed.notify_all()

    def _take(self, session: str | None) -> Instance:
        """Return the process with the fewest requests; a serverless one is started when all are at work."""
        self.replace_dead()
        deadline = time.monotonic() + WAIT_FOR_INSTANCE_SECONDS
        while True:
            with self._changed:
                least = self._of_session(session) or next(iter(self._by_load()), None)
                if least and (not self.serverless or not least.busy or self._full()):
                    least.busy += 1
                    return least
                if not self._instances and not self.serverless and not self._starting + self._replacing:
                    raise NoInstance
                starts = self.serverless and not self._full()
                if not starts:
                    self._changed.wait(0.5)
            if time.monotonic() >= deadline:
                raise NotReady
            if starts:
                self._add_for_request()

    def _add_for_request(self) -> None:
        try:
            self._in_scope(self._add)
        except FleetFailed as error:
            logger.warning("serverless variant %s of %s: %s", self.name, self._endpoint, error)
            raise NotReady(str(error)) from error

    def _full(self) -> bool:
        return len(self._instances) + self._starting >= max(self._provisioned(), MAX_ON_DEMAND)

    def has_session(self, session: str) -> bool:
        with self._changed:
            return self._of_session(session) is not None

    def remember_sessions(self, instance: Instance, headers: Mapping[str, str]) -> None:
        """Take notice of the sessions that a model says it has opened and closed."""
        with self._changed:
            if opened := headers.get("x-amzn-sagemaker-new-session-id"):
                self._sessions[opened.partition(";")[0].strip()] = instance
            if closed := headers.get("x-amzn-sagemaker-closed-session-id"):
                self._sessions.pop(closed, None)
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))

    def _of_session(self, session: str | None) -> Instance | None:
        found = self._sessions.get(session) if session else None
        return found if found in self._instances else None

    def _by_load(self) -> list[Instance]:
        return sorted(self._instances, key=lambda instance: instance.busy)

    # Health

    def replace_dead(self) -> None:
        """Have another process in the place of each that has crashed."""
        with self._changed:
            dead = [i for i in self._instances if not i.container.alive()]
            self._take_out(dead)
        self._replace_all(dead, "crashed")

    def ping(self) -> None:
        """Replace processes that do not answer pings, as SageMaker does.

        Only idle ones are asked: a model that predicts in its only thread is busy, not ill, and its requests time out
        by themselves. Does nothing when it is too soon after the last time.
        """
        with self._changed:
            if time.monotonic() < self._next_ping:
                return
            self._next_ping = time.monotonic() + PING_SECONDS
            idle = [i for i in self._instances if not i.busy]
        for instance in idle:
            instance.failed_pings = 0 if instance.container.healthy() else instance.failed_pings + 1
        with self._changed:
            self._next_ping = time.monotonic() + PING_SECONDS
            ill = [i for i in self._instances if i.failed_pings >= FAILED_PINGS and not i.busy]
            self._take_out(ill)
        self._replace_all(ill, "does not answer pings")

    def _take_out(self, instances: list[Instance]) -> None:
        self._instances = [i for i in self._instances if i not in instances]
        self._replacing += len(instances)

    def _replace_all(self, instances: list[Instance], why: str) -> None:
        for instance in instances:
            logger.warning("variant %s of %s: %s %s", self.name, self._endpoint, instance.identity, why)
            threading.Thread(target=self._replace, args=(instance,), daemon=True, name="replace").start()

    def _replace(self, dead: Instance) -> None:
        try:
            if not self.serverless:
                self._in_scope(self._add)
        except FleetFailed as error:
            logger.error("variant %s of %s: no replacement: %s", self.name, self._endpoint, error)
        finally:
            with self._changed:
                self._replacing -= 1
                self._changed.notify_all()
            dead.stop()

    def utilization(self, table: Mapping[int, usage.Use]) -> list[Value]:
        """Return what each process uses of CPU, memory and disk since the last look; `table`: all processes."""
        with self._changed:
            pids = {instance.identity: instance.container.pid for instance in self._instances}
        uses = {identity: use for identity, pid in pids.items() if (use := usage.of_family(pid, table))}
        megabytes = self.settings["ServerlessConfig"]["MemorySizeInMB"] if self.serverless else None
        memory = megabytes * 2**20 if megabytes else usage.memory_bytes()
        values = self._utilization.values(uses, memory, self._disk_percent, time.monotonic())
        return [value for value in values if not self.serverless or value.name == "MemoryUtilization"]

    # Ends

    def end_idle(self) -> None:
        """Let a serverless variant go to zero: processes that had no request for a while end."""
        if not self.serverless:
            return
        kept = self._provisioned()
        longest = self._faults.seconds(SERVERLESS_IDLE_SECONDS)
        with self._changed:
            idle = [i for i in self._instances if not i.busy and time.monotonic() - i.idle_since > longest]
            ending = idle[: max(len(self._instances) - kept, 0)]
            self._instances = [i for i in self._instances if i not in ending]
        for instance in ending:
            threading.Thread(target=instance.stop, daemon=True, name="scale-to-zero").start()

    def retire(self, seconds: float) -> None:
        """Take no more requests, wait for those under way, then stop."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._retired = True
            self._changed.notify_all()
            while self._busy and time.monotonic() < deadline:
                self._changed.wait(0.5)
        self.stop()

    def stop(self) -> None:
        """End every process now."""
        with self._changed:
            self._retired = True
            ending, self._instances = self._instances, []
            self._changed.notify_all()
        for container in [*(instance.container for instance in ending), *list(self._launching)]:
            container.stop()
        for instance in ending:
            instance.logs.close()
        remove(self._folder)

    def _finish(self, instance: Instance) -> None:
        with self._changed:
            while instance.busy:
                self._changed.wait(0.5)
        instance.stop()


class Fleet:
    """All variants of one configuration."""

    def __init__(
        self, cloud: Cloud, scope: Scope, faults: Faults, endpoint: str, config: dict, models: Mapping[str, dict]
    ) -> None:
        self.config, self.models = config, models
        asynchronous = kind_of(config) == Kind.ASYNC
        self.variants = {
            each["VariantName"]: Variant(cloud, scope, faults, endpoint, each, models[each["ModelName"]], asynchronous)
            for each in config["ProductionVariants"]
        }

    def start(self, counts: Mapping[str, int], weights: Mapping[str, float]) -> None:
        """Bring every variant up; when one fails, all end. Raises FleetFailed."""
        try:
            for name, variant in self.variants.items():
                variant.weight = weights[name]
                variant.start(counts[name])
        except BaseException:
            self.stop()
            raise

    def choose(self, wanted: str | None, session: str | None = None) -> Variant | None:
        """Return the wanted variant, that of the session, or one drawn by weight. None: there is no such variant."""
        if wanted:
            return self.variants.get(wanted)
        variants = list(self.variants.values())
        if session and (theirs := [variant for variant in variants if variant.has_session(session)]):
            return theirs[0]
        weights = [variant.weight for variant in variants]
        return random.choices(variants, weights)[0] if any(weights) else variants[0]

    def instances(self) -> int:
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Return how many instances each variant is to have."""
        return {name: variant.desired for name, variant in self.variants.items()}

    def retire(self, seconds: float) -> None:
        for variant in self.variants.values():
            variant.retire(seconds)

    def stop(self) -> None:
        for variant in self.variants.values():
            variant.stop()
