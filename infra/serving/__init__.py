"""Infra's one table of modes: which construct serves a model."""

from handlers.contract.modes import ServingMode
from infra.serving.base import Serving
from infra.serving.batch import BatchServing
from infra.serving.precompute import PrecomputeServing

SERVING: dict[ServingMode, type[Serving]] = {
    ServingMode.BATCH: BatchServing,
    ServingMode.PRECOMPUTE: PrecomputeServing,
}
