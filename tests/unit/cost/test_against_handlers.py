"""What the bill says of the handlers, held to the handlers themselves."""

import random
import uuid

import pytest

from handlers.contract import metrics
from handlers.contract.modes import AVAILABLE, ServingMode
from handlers.logic.packing import pack
from tests.unit.handlers.world import MODES, World
from turnout import cost, prices
from turnout.config import STAGES
from turnout.config.specs import ModelSpec
from turnout.cost import Workload, pipeline
from turnout.cost.workload import KEY_BYTES

SPEC = ModelSpec.model_validate(
    {"name": "m", "mode": "batch", "schedule": "rate(1 day)", "key": "id", "features": ["a"]}
)


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_as_many_metrics_are_charged_as_the_front_door_emits(mode):
    world = World(mode.value, **MODES.get(mode.value, {}))
    asked = [{"key": "00001"}, {"key": "new"}, {"key": "new", "features": {"x": 3}}]
    emitted = {name for body in asked for name in world.post(body).counts}
    emitted |= {metrics.REQUESTS, metrics.HANDLER_MILLISECONDS}
    bill = cost.bill(ServingMode(mode), SPEC, STAGES["dev"], Workload(requests=10**9), prices.load())
    charged = [
        line
        for line in bill.lines
        if line.price == "cloudwatch.custom_metric" and not line.what.startswith(("runs", "watch"))
    ]
    assert round(sum(line.units for line in charged)) == len(emitted)


def floats(count):
    chance = random.Random(7)
    return [chance.random() for _ in range(count)]


def keys(kind, count):
    chance = random.Random(11)
    if kind == "numbers":
        return [f"{number:07}" for number in chance.sample(range(10**6), count)]
    if kind == "ids":
        return [str(number) for number in chance.sample(range(10**9, 10**10), count)]
    return [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(count)]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", KEY_BYTES)
def test_scores_are_charged_as_the_packer_packs_them(kind, precision):
    """20,000 scores; DynamoDB charges each kilobyte begun of body, names, key and expiry."""
    packed = pack(keys(kind, 20_000), floats(20_000), precision=precision)
    written = sum(-(-(len(body) + 70) // 1024) for _, body in packed.bodies)
    units, size = pipeline.packed(20_000, KEY_BYTES[kind], pipeline.SCORE_BYTES[precision])
    assert units == pytest.approx(written, rel=0.08)
    assert size == pytest.approx(sum(len(body) + 170 for _, body in packed.bodies), rel=0.08)
