"""Every switch from one mode to another, or to another model in the same mode: its steps, what it creates, keeps and
removes, and the way back.

All of it follows from what the two modes consist of (`parts`) and give to callers (`clients`); nothing is written per
pair. A switch runs inside one `cdk deploy`, in CloudFormation's own order: what is new is created beside what is old,
proves itself, and only then the front door moves. What is old goes in the clean-up phase.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config.capabilities import FamilyName
from turnout.switching.clients import CALLERS, outcomes
from turnout.switching.parts import ALWAYS, ENDPOINTS, MAKEUP, NOTHING, PIPELINE, RUN, SCORES, Part, Seconds

#: What any `cdk deploy` takes: synthesis and the change set.
DEPLOY = Seconds(20, 90)
#: Minutes that a tenth waits for the rest, and that nine tenths take, one a minute: the last one goes with the tenth.
CANARY_MINUTES, LINEAR_MINUTES = 5, 9


def _stepwise(minutes: int, how: str) -> Seconds:
    return Seconds(60 * minutes, 60 * minutes + 30, f"CodeDeploy: {how}")


#: How long the front door takes to move, by `shift`.
SHIFTS = {
    "all-at-once": Seconds(2, 15),
    "canary": _stepwise(CANARY_MINUTES, f"a tenth for {CANARY_MINUTES} minutes, then the rest"),
    "linear": _stepwise(LINEAR_MINUTES, f"a tenth at once and every minute, all after {LINEAR_MINUTES} minutes"),
}
#: Requests that an old version of the front door may still be answering: an HTTP API gives one 30 s.
DRAIN = Seconds(35, 45, "an HTTP API waits 30 s for an answer")
DRAIN_REQUESTS = Seconds(35, 2890, "until the last accepted request is answered, at most 48 min")


@dataclass(frozen=True)
class Step:
    """One phase of a switch: what happens, and how long to expect."""

    name: str  # create, warm, prove, move, drain or retire
    what: str
    seconds: Seconds


@dataclass(frozen=True)
class Transition:
    """A switch between two modes, or two models in one. `types_*` are CloudFormation types that come and go with it."""

    before: ServingMode
    after: ServingMode
    created: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]  # no longer used, kept until it expires, used again on return
    types_created: frozenset[str]
    types_removed: frozenset[str]
    steps: tuple[Step, ...]
    instant: bool
    way_back: str
    clients: str

    @property
    def seconds(self) -> Seconds:
        """Return how long callers wait for the new mode: everything up to and including the move."""
        total = NOTHING
        for step in self.steps:
            total += step.seconds
            if step.name == "move":
                break
        return total

    def to_body(self) -> dict[str, object]:
        body = asdict(self)
        body.update({"types_created": sorted(self.types_created), "types_removed": sorted(self.types_removed)})
        return body | {"seconds": asdict(self.seconds)}


def transition(
    before: ServingMode,
    after: ServingMode,
    *,
    fallback: FamilyName = "serverless",
    old_fallback: FamilyName | None = None,
    shift: str = "all-at-once",
    renewed: bool = False,
    fresh: bool | None = None,
) -> Transition:
    """Return the switch between two modes that can be deployed; `fallback` is hybrid's, now and (if other) before.

    `renewed`: another model, or what it runs on, makes another endpoint of the family that both modes have. `fresh`
    says whether the visible generation will do; None: nobody has looked.
    """
    old = MAKEUP[before].parts(old_fallback or fallback)
    new = MAKEUP[after].parts(fallback)
    anew = set(ENDPOINTS.values()) if renewed else set()
    created = tuple(part for part in new if part not in old or part in anew)
    removed = tuple(part for part in old if part not in new or part in anew)
    kept = tuple(part.name for part in new if part not in created)
    types_old, types_new = _types(old), _types(new)
    instant, way_back = _way_back(removed)
    return Transition(
        before=before,
        after=after,
        created=tuple(f"another {part.name}" if part in old else part.name for part in created),
        kept=(*ALWAYS, *kept),
        removed=tuple(f"the old {part.name}" if part in new else part.name for part in removed if part is not SCORES),
        left=("scores, until `keep_scores` has passed",) if SCORES in removed else (),
        types_created=types_new - types_old,
        types_removed=types_old - types_new,
        steps=_steps(new, created, removed, shift, fresh),
        instant=instant,
        way_back=way_back,
        clients=clients(before, after, fallback=fallback, old_fallback=old_fallback or fallback),
    )


def pairs() -> list[tuple[ServingMode, ServingMode]]:
    """Return every ordered pair of different modes that can be deployed, in the order of the enumeration."""
    modes = [mode for mode in ServingMode if mode in AVAILABLE]
    return [(before, after) for before in modes for after in modes if before is not after]


def _types(parts: tuple[Part, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(part.types for part in parts))


def _steps(
    new: tuple[Part, ...], created: tuple[Part, ...], removed: tuple[Part, ...], shift: str, fresh: bool | None
) -> tuple[Step, ...]:
    warmed = [_warming(part, fresh, kept=part not in created) for part in new]
    steps = [
        Step(
            "create", _list("new: ", [p.name for p in created if p.types]), _sum([DEPLOY, *(p.create for p in created)])
        ),
        Step("warm", "; ".join(what for what, _ in warmed if what), _sum(seconds for _, seconds in warmed)),
        Step("prove", "; ".join(p.proving for p in new if p.proving), _sum(p.prove for p in new)),
        Step("move", f"the front door's alias moves ({shift}); answers say the new mode and version", SHIFTS[shift]),
        _drain(removed),
        Step("retire", _list("gone: ", [p.name for p in removed if p.types]), _sum(p.remove for p in removed)),
    ]
    return tuple(step if step.what else Step(step.name, "nothing to do", step.seconds) for step in steps)


def _warming(part: Part, fresh: bool | None, *, kept: bool) -> tuple[str, Seconds]:
    """Return what is warmed of a part, and how long to expect; a part that is kept is proved again like a new one."""
    if part is SCORES and fresh is not None:
        return ("", NOTHING) if fresh else ("a run makes a generation: the visible one does not do", RUN)
    return (part.warming_again, part.again) if kept else (part.warming, part.warm)


def _drain(removed: tuple[Part, ...]) -> Step:
    if ENDPOINTS["async"] in removed:
        return Step("drain", "accepted requests are answered before their endpoint goes", DRAIN_REQUESTS)
    return Step("drain", "requests that the old version has begun are answered", DRAIN)


def _list(head: str, names: list[str]) -> str:
    return head + ", ".join(names) if names else ""


def _sum(seconds: Iterable[Seconds]) -> Seconds:
    return sum(seconds, NOTHING)


def _way_back(removed: tuple[Part, ...]) -> tuple[bool, str]:
    """Say whether putting the old word back is instant: nothing has to be made or warmed anew for it."""
    endpoint = next((part for part in removed if part in ENDPOINTS.values()), None)
    if endpoint is not None:
        return False, f"one deploy, which makes the {endpoint.name} anew ({spell(endpoint.warm)})"
    if SCORES in removed:
        return True, "one deploy: what was left of the scores is served again while it is fresh, else a run comes first"
    if PIPELINE in removed:
        return True, "one deploy: only the pipeline is made anew"
    return True, "one deploy: all that it needs is still there"


def clients(before: ServingMode, after: ServingMode, *, fallback: str, old_fallback: str) -> str:
    """Say what callers notice, in sentences."""
    now, then = outcomes(before, old_fallback), outcomes(after, fallback)
    said = [CALLERS[after].sentence] if now != then else ["Answers come as before."]
    return " ".join([*said, CALLERS[after].watch]).strip()


def spell(seconds: Seconds) -> str:
    """Return a range in words: `2 to 15 s`, `30 s to 3 min`, `3 to 10 min`, `about 3 min`."""
    if not seconds.most:
        return "no time"
    if seconds.most < 120:
        least, most, unit = f"{seconds.least}", f"{seconds.most}", "s"
    else:
        least = f"{seconds.least} s" if seconds.least < 60 else f"{seconds.least / 60:.0f}"
        most, unit = f"{seconds.most / 60:.0f}", "min"
    return f"about {most} {unit}" if least == most else f"{least} to {most} {unit}"
