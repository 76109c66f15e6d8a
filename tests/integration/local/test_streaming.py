"""Streamed answers of endpoints: each part when the model gives it, errors before and in the midst of it."""

import contextlib

import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.integration.local.actions import bucket, random_name, stand_in_model, wait_until
from tests.integration.local.endpoint_actions import ask, asynchronous, endpoint, endpoint_config

pytestmark = [
    pytest.mark.local_only("it is about the local cloud's endpoints"),
    pytest.mark.usefixtures("no_endpoints_left"),
]


@pytest.fixture(scope="module")
def data(client) -> str:
    return bucket(client)


def streamed(client, name: str, body: str = "1,2", **parameters) -> dict:
    runtime = client("sagemaker-runtime")
    return runtime.invoke_endpoint_with_response_stream(
        EndpointName=name, Body=body, ContentType="text/csv", **parameters
    )


def texts(answer: dict) -> list[str]:
    return [event["PayloadPart"]["Bytes"].decode() for event in answer["Body"]]


def test_each_part_arrives_when_the_model_gives_it(client, data):
    custom = {"Content-Type": "text/plain", "X-Amzn-SageMaker-Custom-Attributes": "from the model"}
    name = endpoint(
        client, endpoint_config(client, stand_in_model(client, data, stream=["a", "b", "c"], headers=custom))
    )
    answer = streamed(client, name)
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("text/plain", "from the model")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    events = iter(answer["Body"])
    assert next(events)["PayloadPart"]["Bytes"] == b"a"
    assert ask(client, name, "go") == "gone"  # the model gives the rest only now
    assert b"".join(event["PayloadPart"]["Bytes"] for event in events) == b"bc"


def test_an_answer_in_one_piece_is_a_stream_too(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    assert texts(streamed(client, name, "1,2\n3,4")) == ["3.0\n7.0"]


def test_what_the_model_refuses_is_no_stream(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, reject_on="9")))
    with pytest.raises(ClientError) as caught:
        streamed(client, name, "9")
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", 400)
    assert answer["OriginalMessage"] == "cannot score 9"


def test_a_broken_stream_ends_with_its_error(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, stream=["a"], broken=True)))
    seen = []
    with pytest.raises(EventStreamError) as caught:
        seen.extend(event["PayloadPart"]["Bytes"] for event in streamed(client, name)["Body"])
    assert seen == [b"a"]
    error = caught.value.response["Error"]
    assert error["Code"] == "ModelStreamError"
    assert "closed before the response ended" in error["Message"]


def test_a_client_that_leaves_gives_the_process_back(client, data):
    name = endpoint(client, endpoint_config(client, stand_in_model(client, data, stream=["a", "b", "c"])))
    events = streamed(client, name)["Body"]
    assert next(iter(events))["PayloadPart"]["Bytes"] == b"a"
    events.close()
    assert ask(client, name, "go") == "gone"
    client("sagemaker").delete_endpoint(EndpointName=name)  # which waits for requests that are under way
    wait_until(lambda: not client("sagemaker").list_endpoints(NameContains=name)["Endpoints"], 15)


def test_strangers_and_wrong_kinds_are_refused(client, data):
    queued = endpoint_config(client, stand_in_model(client, data), AsyncInferenceConfig=asynchronous(data))
    name = endpoint(client, queued)
    for endpoint_name, words in ((random_name("nobody"), "not found"), (name, "asynchronous inference endpoint")):
        with pytest.raises(ClientError, match=words) as caught, contextlib.closing(streamed(client, endpoint_name)):
            pass
        assert caught.value.response["Error"]["Code"] == "ValidationError"
