from dataclasses import replace

import pytest
from serving_http import InferenceServer
from serving_script import Refused
from serving_settings import Settings

MB = 2**20


@pytest.fixture
def server():
    environ = {"SAGEMAKER_BIND_TO_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": "0"}
    server = InferenceServer(replace(Settings.from_environ(environ), body_bytes=10 * MB))
    yield server
    assert server.drain(5)


def test_bodies_together_stay_within_the_memory_but_a_single_one_is_always_taken(server):
    server.admit(50 * MB)
    with pytest.raises(Refused, match="fill the memory") as refusal:
        server.admit(MB)
    assert (refusal.value.status, refusal.value.code) == (503, "busy")
    server.admit(1000)  # small ones do not matter
    server.release(50 * MB)
    server.admit(9 * MB)
    with pytest.raises(Refused):
        server.admit(2 * MB)


def test_a_body_that_grows_is_held_against_the_others_only(server):
    for held in range(0, 50 * MB, MB):
        server.admit(MB, already=held)
    with pytest.raises(Refused):
        server.admit(MB)
