"""What a plan needs to know of a deployed model."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from handlers.contract.records import Generation, Pointer
from handlers.logic.moments import format_moment
from turnout import deployed
from turnout.config.specs import ModelSpec
from turnout.switching import situation, traffic
from turnout.switching.clients import Recent


class FakeModel:
    """A model in mode `batch` that has scores of old data, scored a minute ago."""

    mode, model_version, outputs = "batch", "v7", {}

    def pointer(self):
        return Pointer(results="g7", scores="g7", revision=1)

    def generation(self, name):
        scored_at, data_as_of = (
            format_moment(datetime.now(UTC) - timedelta(**ago)) for ago in ({"minutes": 1}, {"days": 10})
        )
        made = Generation("g7", "v7", scored_at, scored_at, 2, 2, 0, 2, "string", "s3://r/", None, 10**10)
        return replace(made, data_as_of=data_as_of)

    def runs(self, limit):
        return []


@pytest.mark.parametrize(("on_stale", "days"), [("serve", 0), ("refuse", 10)])
def test_scores_are_as_old_as_the_gate_will_take_them_for(monkeypatch, on_stale, days):
    monkeypatch.setattr(deployed, "find_model", lambda stage, name: FakeModel())
    monkeypatch.setattr(traffic, "recent", lambda model, column, now: Recent())
    settings = {"mode": "precompute", "schedule": "rate(1 day)", "key": "id", "features": ["a"], "on_stale": on_stale}
    seen = situation.look("dev", "churn", ModelSpec.model_validate({"name": "churn", **settings}))
    assert round(seen.scores_age / 86_400) == days
