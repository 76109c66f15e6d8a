"""One model behind its front door, with everything around it in memory."""

import json
from itertools import count

from handlers.contract.card import Feature
from handlers.contract.layout import request_id
from handlers.contract.modes import ServingMode
from handlers.contract.records import Generation, Pointer
from handlers.logic.answers import answer
from handlers.logic.deferred import Later
from handlers.logic.families import FAMILIES
from handlers.logic.live import Live
from handlers.logic.lookup import Door, Visible
from handlers.logic.predictors import PREDICTORS
from tests.unit.handlers.datasets import card
from tests.unit.handlers.fakes import FakeClock, FakeRecords, FakeScores, event
from tests.unit.handlers.live_fakes import FakeEndpoint, FakeFiles, FakeFlights, FakeQueue, FakeRequests

#: Settings of the front door that a mode needs.
MODES = {
    "batch": {},
    "precompute": {},
    "hybrid": {"fallback": "serverless", "remember_seconds": 600, "max_live_per_minute": 100},
    "realtime": {},
    "serverless": {},
    "async": {},
}

FEATURES = (Feature("x", minimum=0), Feature("s", "string", nullable=True))
RUN, NEXT = "20261123T060000Z", "20261124T060000Z"
EXPIRES = 1_800_000_000


def manifest(run_id=RUN, key_type="string", expires_at=EXPIRES, scored_at="2026-11-23T06:09:30Z", data_as_of=None):
    uri = f"s3://data/results/churn/date=2026-11-23/run={run_id}/"
    counts = (3, 3, 0, 3)
    return Generation(
        run_id, "v7", scored_at, scored_at, *counts, key_type, uri, None, expires_at, data_as_of=data_as_of
    )


class World:
    """A model with one visible generation, 30 s after it was scored, and an endpoint that halves `x`."""

    def __init__(
        self, mode=ServingMode.PRECOMPUTE, key_type="string", scores=None, features=FEATURES, clock=None, **settings
    ):
        self.records, self.scores, self.clock = FakeRecords(), FakeScores(), clock or FakeClock()
        self.card = card(*features, description="risk")
        self.endpoint, self.flights, self.requests = FakeEndpoint(), FakeFlights(), FakeRequests()
        self.files = FakeFiles(self.clock)
        self.queue = FakeQueue(self.files)
        self.numbers = count()
        self.records.put_generation(manifest(key_type=key_type))
        self.records.current = Pointer(results=RUN, scores=RUN, revision=1)
        self.scores.put_one_by_one(RUN, scores or {"00001": 0.25, "00002": [1, "x"]}, expires_at=EXPIRES)
        self.door = Door(
            stage="dev",
            model="churn",
            mode=str(mode),
            model_version="v8",
            max_staleness_seconds=3_600,
            results_uri="s3://data/results/churn/",
            visible=Visible(self.records, self.clock.monotonic),
            scores=self.scores,
            clock=self.clock,
            card=lambda: self.card,
            live=self.live,
            later=self.later,
            **settings,
        )

    def live(self):
        return Live(
            self.card,
            FAMILIES[PREDICTORS[ServingMode(self.door.mode)].family(self.door)],
            self.endpoint,
            self.flights,
            self.clock.monotonic,
            self.clock.advance,
            lambda: f"leader-{next(self.numbers)}",
        )

    def later(self):
        return Later(
            self.card,
            lambda: self.queue,
            self.requests,
            self.files,
            self.flights,
            lambda now: request_id(now, f"{next(self.numbers):015x}"),
            "data",
            expiry_seconds=3_600,
            invocation_seconds=900,
            endpoint="dev-churn-async-1",
            sleep=self.clock.advance,
        )

    def ask(self, request):
        return answer(self.door, request)

    def lookup(self, key):
        return self.ask(event("http_lookup", pathParameters={"key": key}))

    def post(self, body, **changes):
        return self.ask(event("http_predict_key", body=body if isinstance(body, str) else json.dumps(body), **changes))

    def poll(self, accepted):
        """GET the Location of a 202."""
        path, _, query = accepted.headers["location"].partition("?")
        assert path == "/models/churn/predictions"
        name, _, value = query.partition("=")
        return self.ask(event("http_poll", queryStringParameters={name: value}))

    def upload(self, body=None):
        changes = {} if body is None else {"body": json.dumps(body)}
        return self.ask(event("http_upload", **changes))
