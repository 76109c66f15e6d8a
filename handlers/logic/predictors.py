"""How each mode answers: the front door's only mode switch.

What asks a model is imported by the requests that do: a hit loads nothing of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from handlers.contract.errors import NotScoredYet, NotServableLive, RequestError, StaleScores
from handlers.contract.modes import ServingMode
from handlers.contract.records import Pointer
from handlers.logic.lookup import ASK_WHEN_STALE, Answered, Door, Outcome, look_up
from handlers.logic.requests import Asked


@dataclass(frozen=True)
class Predictor:
    """A mode at the front door: how it answers, which generation its freshness is that of, and who answers live.

    `family` names the kind of endpoint (handlers.logic.families) that the mode has under a door's settings, or None.
    """

    predict: Callable[[Door, Asked], Answered]
    shown: Callable[[Pointer], str | None]
    family: Callable[[Door], str | None]
    by_key: bool  # whether a key alone may be enough
    asking: str  # how to ask, for people


def refuse_live(door: Door, asked: Asked) -> Answered:
    """Raise NotServableLive, which says where the newest results are and what would make them servable."""
    newest = door.visible.generation(door.visible.pointer().results)
    raise NotServableLive(
        f"model {door.model!r} is served in mode {door.mode}: predictions are files, not answers",
        model=door.model,
        mode=door.mode,
        results_uri=newest.results_uri if newest else door.results_uri,
        generation=newest.id if newest else None,
        scored_at=newest.scored_at if newest else None,
        data_as_of=newest.as_of if newest else None,
        hint="read the Parquet files under results_uri; with `mode: precompute` this URL would answer by key",
    )


def answer_by_key(door: Door, asked: Asked) -> Answered:
    return Answered(look_up(door, asked.instances))


def answer_by_key_or_ask(door: Door, asked: Asked) -> Answered:
    """Look up first; what has no score goes to the model. Nothing published yet is a miss like any other."""
    if asked.upload is not None:
        return answer_later(door, asked)
    outcomes: list[Outcome] = []
    try:
        outcomes = look_up(door, asked.instances)
    except NotScoredYet as error:
        outcomes = [error] * len(asked.instances)
    missed = [place for place, outcome in enumerate(outcomes) if _asks_on(door, outcome)]
    if not missed:
        return Answered(outcomes)
    from handlers.logic.hybrid import answer_misses

    return answer_misses(door, asked, outcomes, missed)


def _asks_on(door: Door, outcome: Outcome) -> bool:
    """Whether a lookup's outcome is no last word where there is a model to ask."""
    if isinstance(outcome, RequestError):
        return not isinstance(outcome, StaleScores)
    return outcome.stale and door.on_stale == ASK_WHEN_STALE


def ask_now(door: Door, asked: Asked) -> Answered:
    from handlers.logic.live import predict_live

    return predict_live(door, asked)


def answer_later(door: Door, asked: Asked) -> Answered:
    from handlers.logic.deferred import predict_later

    return predict_later(door, asked)


PREDICTORS: dict[ServingMode, Predictor] = {
    ServingMode.BATCH: Predictor(
        refuse_live,
        lambda pointer: pointer.results,
        lambda door: None,
        True,
        "not at this URL: read the Parquet files under results_uri",
    ),
    ServingMode.PRECOMPUTE: Predictor(
        answer_by_key,
        lambda pointer: pointer.scores,
        lambda door: None,
        True,
        "by key; features are ignored",
    ),
    ServingMode.HYBRID: Predictor(
        answer_by_key_or_ask,
        lambda pointer: pointer.scores,
        lambda door: door.fallback,
        True,
        "by key, and with features, so that the model can be asked about a key without a score",
    ),
    ServingMode.REALTIME: Predictor(
        ask_now,
        lambda pointer: None,
        lambda door: ServingMode.REALTIME,
        False,
        "with features; a key is given back and not looked up",
    ),
    ServingMode.SERVERLESS: Predictor(
        ask_now,
        lambda pointer: None,
        lambda door: ServingMode.SERVERLESS,
        False,
        "with features; a key is given back and not looked up",
    ),
    ServingMode.ASYNC: Predictor(
        answer_later,
        lambda pointer: None,
        lambda door: ServingMode.ASYNC,
        False,
        "with features; the answer is 202 with the Location where the prediction will be",
    ),
}
