"""Infra's one table of modes: which construct serves a model."""

from handlers.contract.modes import ServingMode
from infra.serving.asynchronous import AsyncServing
from infra.serving.base import Serving
from infra.serving.batch import BatchServing
from infra.serving.hybrid import HybridServing
from infra.serving.precompute import PrecomputeServing
from infra.serving.realtime import RealtimeServing
from infra.serving.serverless import ServerlessServing

SERVING: dict[ServingMode, type[Serving]] = {
    ServingMode.BATCH: BatchServing,
    ServingMode.PRECOMPUTE: PrecomputeServing,
    ServingMode.HYBRID: HybridServing,
    ServingMode.REALTIME: RealtimeServing,
    ServingMode.SERVERLESS: ServerlessServing,
    ServingMode.ASYNC: AsyncServing,
}
