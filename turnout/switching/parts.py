"""What each mode consists of. The transition table is derived from this one, pair by pair."""

from collections.abc import Callable
from dataclasses import dataclass

from handlers.contract.modes import ServingMode
from turnout.config.capabilities import FamilyName

#: Where AWS states no figure.
EXPERIENCE = "experience, where AWS states no figure"


@dataclass(frozen=True)
class Seconds:
    """A range to expect, and who says so."""

    least: int
    most: int
    source: str = EXPERIENCE

    def __add__(self, other: "Seconds") -> "Seconds":
        source = self.source if self.most >= other.most else other.source
        return Seconds(self.least + other.least, self.most + other.most, source)


NOTHING = Seconds(0, 0, "")


@dataclass(frozen=True)
class Part:
    """Something that a mode has and another may lack. `types` are the CloudFormation types that come with it alone.

    The gate proves every part of a mode, those that were there before too; `again` is what has to be warmed of such.
    """

    name: str
    types: frozenset[str]
    create: Seconds
    warm: Seconds
    warming: str  # what happens meanwhile
    prove: Seconds
    proving: str
    remove: Seconds
    again: Seconds = NOTHING
    warming_again: str = ""


_ENDPOINT = {"AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"}
_SCALING = {"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"}

RUN_TAKES = "none if the visible generation fits, else 3 to 5 min until a transform job starts, and the scoring"
UNLESS_FRESH = (
    "a run makes a generation, unless the visible one is of this model version and younger than `max_staleness`"
)

PIPELINE = Part(
    "pipeline",
    frozenset({"AWS::StepFunctions::StateMachine"}),
    create=Seconds(20, 60),
    warm=NOTHING,
    warming="",
    prove=NOTHING,
    proving="",
    remove=Seconds(10, 60),
)
SCORES = Part(
    "scores",
    frozenset(),
    create=NOTHING,
    warm=Seconds(0, 900, RUN_TAKES),
    warming=UNLESS_FRESH,
    prove=Seconds(1, 10),
    proving="the generation is complete, verified and visible",
    remove=NOTHING,
    again=Seconds(0, 900, RUN_TAKES),
    warming_again=UNLESS_FRESH,
)
#: A run that is known to be necessary, or not to be.
RUN = Seconds(180, 900, "3 to 5 min until a transform job starts, and the scoring")
ENDPOINTS: dict[FamilyName, Part] = {
    "realtime": Part(
        "realtime endpoint",
        frozenset(_ENDPOINT | _SCALING),
        create=Seconds(5, 30),
        warm=Seconds(180, 600, "AWS gives a container 4 min to answer its first ping"),
        warming="instances start, pull the image and load the model",
        prove=Seconds(2, 30),
        proving="the endpoint answers the sample payloads with the expected predictions",
        remove=Seconds(30, 300),
    ),
    "serverless": Part(
        "serverless endpoint",
        frozenset(_ENDPOINT),
        create=Seconds(5, 30),
        warm=Seconds(30, 180, "AWS gives 3 min for download and first ping"),
        warming="SageMaker fetches image and model",
        prove=Seconds(5, 60),
        proving="the endpoint answers the sample payloads with the expected predictions",
        remove=Seconds(10, 120),
    ),
    "async": Part(
        "async endpoint",
        frozenset(_ENDPOINT | _SCALING),
        create=Seconds(5, 30),
        warm=Seconds(180, 600, "AWS gives a container 4 min to answer its first ping"),
        warming="one instance starts, pulls the image and loads the model; it goes to rest when nobody asks",
        prove=Seconds(5, 60),
        proving="a request with the sample payloads comes back from S3 with the expected predictions",
        remove=Seconds(30, 300),
        again=Seconds(0, 900, "an endpoint at rest wakes after 2 min of backlog"),
        warming_again="an instance starts for the sample payloads, unless one is up",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Makeup:
    """One mode: whether it scores in batch, whether lookups read the scores, and which endpoint answers live."""

    pipeline: bool
    scores: bool
    endpoint: Callable[[FamilyName], FamilyName | None]  # from hybrid's fallback

    def parts(self, fallback: FamilyName) -> tuple[Part, ...]:
        family = self.endpoint(fallback)
        endpoint = (ENDPOINTS[family],) if family else ()
        return (PIPELINE,) * self.pipeline + (SCORES,) * self.scores + endpoint


#: One line per mode that can be deployed.
MAKEUP: dict[ServingMode, Makeup] = {
    ServingMode.BATCH: Makeup(pipeline=True, scores=False, endpoint=lambda fallback: None),
    ServingMode.PRECOMPUTE: Makeup(pipeline=True, scores=True, endpoint=lambda fallback: None),
    ServingMode.HYBRID: Makeup(pipeline=True, scores=True, endpoint=lambda fallback: fallback),
    ServingMode.REALTIME: Makeup(pipeline=False, scores=False, endpoint=lambda fallback: "realtime"),
    ServingMode.SERVERLESS: Makeup(pipeline=False, scores=False, endpoint=lambda fallback: "serverless"),
    ServingMode.ASYNC: Makeup(pipeline=False, scores=False, endpoint=lambda fallback: "async"),
}

#: What every mode has, so that no switch touches it.
ALWAYS = ("URL and routes", "front door", "table", "results in S3")
