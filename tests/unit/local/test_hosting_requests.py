"""Headers of runtime requests as parameters."""

import pytest

from turnout.local.sagemaker.errors import CallInvalid
from turnout.local.sagemaker.hosting.requests import Request, passed


def given(operation: str, **headers: str) -> dict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return dict(Request("endpoint", b"1", named).parameters(operation))


def test_headers_are_parameters_and_strangers_are_stripped():
    headers = {"content_type": "text/csv", "x_amzn_sagemaker_custom_attributes": "a=b", "x_secret": "1"}
    found = given("InvokeEndpoint", **headers, x_amzn_sagemaker_inference_id="i")
    assert found == {"ContentType": "text/csv", "CustomAttributes": "a=b", "InferenceId": "i"}
    assert passed(found) == {
        "Content-Type": "text/csv",
        "X-Amzn-SageMaker-Custom-Attributes": "a=b",
        "X-Amzn-SageMaker-Inference-Id": "i",
    }


def test_each_operation_has_its_own_headers_for_the_same_thing():
    assert given("InvokeEndpoint", accept="a/b") == {"Accept": "a/b"}
    assert given("InvokeEndpointWithResponseStream", x_amzn_sagemaker_accept="a/b") == {"Accept": "a/b"}
    found = given("InvokeEndpointAsync", x_amzn_sagemaker_content_type="a/b", x_amzn_sagemaker_requestttlseconds="60")
    assert found == {"ContentType": "a/b", "RequestTTLSeconds": 60}


@pytest.mark.parametrize(
    ("operation", "headers", "words"),
    [
        ("InvokeEndpoint", {"x_amzn_sagemaker_custom_attributes": "x" * 1025}, "less than or equal to 1024"),
        ("InvokeEndpoint", {"x_amzn_sagemaker_custom_attributes": "é"}, "regular expression"),
        ("InvokeEndpoint", {"x_amzn_sagemaker_target_variant": "no_underscore"}, "targetVariant"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_requestttlseconds": "59"}, "greater than or equal to 60"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_requestttlseconds": "long"}, "Integer"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_invocationtimeoutseconds": "3601"}, "less than or equal to 3600"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_filename": "a.b.c"}, "filename"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_s3outputpathextension": "s3://x"}, "s3OutputPathExtension"),
        ("InvokeEndpointAsync", {"x_amzn_sagemaker_inputlocation": "file:///x"}, "inputLocation"),
    ],
)
def test_what_breaks_the_service_model_is_a_validation_error(operation, headers, words):
    with pytest.raises(CallInvalid, match=words):
        given(operation, **headers)
