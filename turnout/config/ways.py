"""An entry that is served another way: the settings that it would have to gain or change, and the entry with them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from turnout.advice.rules import Serving
from turnout.config import answers
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.specs import ModelSpec, ScheduleSpec

DAY = timedelta(days=1)


def needed(spec: ModelSpec, way: Serving) -> dict[str, Any]:
    """Return the settings that an entry has to gain or change to be served in a way, by path."""
    found: dict[str, Any] = {} if way.mode is spec.mode else {"mode": way.mode}
    if (path := answers.CHOSEN_BY.get(way.mode)) and value_at(spec, path) != way.endpoint:
        found[path] = way.endpoint
    if SCORES_IN_BATCH[way.mode] and (spec.schedule is None or (answers.too_seldom(spec) and answers.slowest(spec))):
        found |= _schedule(spec)
    if not (SCORES_IN_BATCH[way.mode] and way.endpoint):
        found |= _without_both(spec)
    return with_kept_scores(spec, found)


def with_kept_scores(spec: ModelSpec, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of an entry, by path, and how long scores have to be kept with them where it is longer."""
    made = with_settings(spec, settings)
    least = answers.kept_at_least(made)
    return {**settings, **({"keep_scores": least} if least is not None and made.keep_scores < least else {})}


def _without_both(spec: ModelSpec) -> dict[str, Any]:
    """Return what replaces settings that take scores and a model beside them."""
    found: dict[str, Any] = {"on_stale": "serve"} if spec.on_stale == "live" else {}
    return found | ({"refresh.on_event": False} if spec.refresh.on_event else {})


def _schedule(spec: ModelSpec) -> dict[str, Any]:
    """Return a schedule that is as fresh as asked, and how old its scores may then become: no older than asked."""
    rate, asked = answers.slowest(spec), spec.answers.freshness
    found: dict[str, Any] = {"schedule": ScheduleSpec(rate=rate_words(rate or DAY))}
    if rate and not rate <= spec.max_staleness <= asked:
        found["max_staleness"] = asked - asked % timedelta(seconds=1)
    elif not rate and spec.max_staleness < DAY:
        found["max_staleness"] = 2 * DAY
    oldest = found.get("max_staleness", spec.max_staleness)
    if spec.keep_scores < oldest:
        found["keep_scores"] = oldest
    if (spec.refresh.when_older_than or timedelta(0)) >= oldest:
        found["refresh.when_older_than"] = timedelta(seconds=oldest // timedelta(seconds=2))
    return found


def rate_words(every: timedelta) -> str:
    """Return a rate of whole minutes in its largest whole unit, as EventBridge spells it."""
    units = {"day": DAY, "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
    unit, size = next((unit, size) for unit, size in units.items() if not every % size)
    count = every // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def value_at(spec: ModelSpec, path: str) -> Any:
    """Return the value of a setting."""
    value: Any = spec
    for step in path.split("."):
        value = getattr(value, {"async": "async_"}.get(step, step))
    return value


def with_settings(spec: ModelSpec, settings: Mapping[str, Any]) -> ModelSpec:
    """Return the entry with other settings, each given by its path."""
    for path, value in settings.items():
        section, _, key = path.rpartition(".")
        field = {"async": "async_"}.get(section, section)
        change = {key: value} if not section else {field: getattr(spec, field).model_copy(update={key: value})}
        spec = spec.model_copy(update=change)
    return spec
