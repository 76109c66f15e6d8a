"""How each mode answers: the front door's only mode switch."""

from collections.abc import Callable
from dataclasses import dataclass

from handlers.contract.errors import NotServableLive, RequestError
from handlers.contract.modes import ServingMode
from handlers.contract.predictions import Instance, Prediction
from handlers.contract.records import Pointer
from handlers.logic.lookup import Door, look_up


@dataclass(frozen=True)
class Predictor:
    """A mode at the front door: how it answers instances, and which generation its freshness is that of."""

    predict: Callable[[Door, list[Instance]], list[Prediction | RequestError]]
    shown: Callable[[Pointer], str | None]


def refuse_live(door: Door, instances: list[Instance]) -> list[Prediction | RequestError]:
    """Raise NotServableLive, which says where the newest results are and what would make them servable."""
    newest = door.visible.generation(door.visible.pointer().results)
    raise NotServableLive(
        f"model {door.model!r} is served in mode {door.mode}: predictions are files, not answers",
        model=door.model,
        mode=door.mode,
        results_uri=newest.results_uri if newest else door.results_uri,
        generation=newest.id if newest else None,
        scored_at=newest.scored_at if newest else None,
        hint="read the Parquet files under results_uri; with `mode: precompute` this URL would answer by key",
    )


PREDICTORS: dict[ServingMode, Predictor] = {
    ServingMode.BATCH: Predictor(refuse_live, lambda pointer: pointer.results),
    ServingMode.PRECOMPUTE: Predictor(look_up, lambda pointer: pointer.scores),
}
