"""AWS clients, made when first needed. botocore's own: importing boto3 also loads its resources (35 ms)."""

from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config

#: The front door answers within an HTTP API's 30 s in any case: 3 tries of at most 3 s each.
FAST = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"total_max_attempts": 3, "mode": "standard"},
    parameter_validation=False,
    tcp_keepalive=True,
)

#: The model itself: once, and no longer than leaves time to say so before an HTTP API gives up after 30 s. A call that
#: timed out may still be running, so nothing here repeats it.
LIVE = Config(
    connect_timeout=1,
    read_timeout=24,
    retries={"total_max_attempts": 1, "mode": "standard"},
    parameter_validation=False,
    tcp_keepalive=True,
)

#: Payloads and answers in S3, and URLs for them, which have to be signed for the Region that the bucket is in.
FILES = FAST.merge(Config(read_timeout=5, signature_version="s3v4"))

#: Pipeline steps would rather wait than fail.
PATIENT = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 6, "mode": "standard"},
    parameter_validation=False,
    max_pool_connections=16,
    tcp_keepalive=True,
)


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def client(service: str, config: Config = PATIENT) -> Any:
    """Return this environment's client of a service; region, credentials and endpoint come from the environment."""
    return _session().create_client(service, config=config)
