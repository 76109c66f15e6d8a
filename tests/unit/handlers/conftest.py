"""AWS in process (moto) for adapters and entries: a bucket, a model's table, and handlers that start cold."""

import importlib

import pytest
from moto import mock_aws

from handlers import predict
from handlers.adapters import clients
from handlers.adapters.clients import FAST, client
from handlers.contract.card import Feature
from handlers.contract.env import PipelineEnv, PredictEnv, UnknownModelEnv
from handlers.contract.records import PK, SK
from tests.unit.handlers.datasets import card

BUCKET, TABLE = "data", "scores"


@pytest.fixture(scope="session")
def clients_of_moto():
    """Clients are dear to make and moto catches what they send, so all tests share them."""
    forget_clients()
    yield
    forget_clients()


@pytest.fixture
def aws(monkeypatch, clients_of_moto):
    """Mock AWS, empty but for the bucket `data` and the table `scores`."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client("s3").create_bucket(Bucket=BUCKET)
        client("dynamodb").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PK, SK)],
        )
        yield


def forget_clients():
    clients.client.cache_clear()
    clients._session.cache_clear()


@pytest.fixture
def model(aws, monkeypatch):
    """Environment and card of a deployed model `m` in mode precompute."""
    description = card(Feature("x", minimum=0), max_bad_fraction=0.5)
    client("s3").put_object(Bucket=BUCKET, Key="card.json", Body=description.to_json().encode())
    pipeline = PipelineEnv("dev", "m", "precompute", TABLE, BUCKET, BUCKET, "card.json")
    door = predict_env()
    # moto answers botocore only; what our own client does is shown against servers.
    monkeypatch.setattr(predict, "reader", lambda: client("dynamodb", FAST))
    for environment in (pipeline, door, UnknownModelEnv("dev")):
        for name, value in environment.to_environ().items():
            monkeypatch.setenv(name, value)
    forget_environments()
    yield description
    forget_environments()


def predict_env(mode="precompute", **settings):
    """Return the front door's environment of model `m`."""
    values = {
        "stage": "dev",
        "model": "m",
        "mode": mode,
        "model_version": "v7",
        "table": TABLE,
        "max_staleness_seconds": 3_600,
        "results_uri": "s3://data/results/m/",
        "spec_bucket": BUCKET,
        "spec_key": "card.json",
        "data_bucket": BUCKET,
        "endpoint": "dev-m-live",
        "fallback": "",
        "remember_seconds": 0,
        "max_live_per_minute": 0,
        "async_expiry_seconds": 3_600,
        "async_invocation_seconds": 900,
    }
    return PredictEnv(**{**values, **settings})


def forget_environments():
    """Make every entry start cold again."""
    for name in ("start", "prepare", "publish", "conclude", "predict", "refresh", "unknown_model"):
        module = importlib.import_module(f"handlers.{name}")
        for member in vars(module).values():
            if hasattr(member, "cache_clear") and member.__module__ == module.__name__:
                member.cache_clear()
