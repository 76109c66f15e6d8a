"""A local cloud with a stand-in model server; these tests are about the cloud itself, not about what runs on it."""

import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from tests.integration.local.actions import STAND_IN, client_factory, wait_until
from turnout.local import control


@pytest.fixture(scope="session")
def stand_in_cloud(tmp_path_factory) -> Iterator[control.LocalCloud]:
    """A local cloud whose model server is the stand-in, shared by the whole session: use random names."""
    state_dir = tmp_path_factory.mktemp("stand-in-cloud")
    with mock.patch.dict(os.environ, {"TURNOUT_MODEL_SERVER": str(STAND_IN)}):
        cloud = control.up(state_dir)
    yield cloud
    control.down(state_dir)


@pytest.fixture(scope="session")
def client(stand_in_cloud) -> Callable[[str], Any]:
    return client_factory(stand_in_cloud)


@pytest.fixture
def no_endpoints_left(client) -> Iterator[None]:
    """Delete every endpoint after a test: each is a process or two."""
    yield
    sagemaker = client("sagemaker")
    for found in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        if found["EndpointStatus"] in ("InService", "Failed"):
            sagemaker.delete_endpoint(EndpointName=found["EndpointName"])
    wait_until(lambda: not sagemaker.list_endpoints(StatusEquals="Deleting")["Endpoints"])
