"""What the SageMaker of the local cloud refuses, and how: every error is read by a real boto3 client.

The requests are generated from botocore's own model of the service. The client checks nothing itself and has no
socket: its requests end in the code that answers them in the emulator.
"""

import asyncio
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.local import control_plane
from tests.unit.local.bad_requests import CONSTRAINT, WRONG_TYPE, Bad, broken, example
from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import Invalid, Malformed

SAGEMAKER = control_plane.control_plane(control_plane.FakeCloud())
CLIENT = control_plane.client(SAGEMAKER)
SERVICE = CLIENT.meta.service_model
EMULATED = sorted(SAGEMAKER._api.operations)
OTHERS = sorted(set(SERVICE.operation_names) - set(EMULATED))
#: Operations that a SageMaker for inference cannot do without.
INFERENCE = ("Model", "EndpointConfig", "Endpoint", "TransformJob", "ModelPackage", "ModelPackageGroup")


def refusal(operation: str, request: object) -> ClientError:
    with pytest.raises(ClientError) as raised:
        control_plane.send_json(CLIENT, operation, request)
    return raised.value


def bad_requests(operation: str) -> list[Bad]:
    return list(broken(SERVICE.operation_model(operation).input_shape))


@pytest.mark.parametrize("operation", EMULATED)
def test_every_broken_constraint_is_named_in_the_error(operation):
    before = json.dumps(SAGEMAKER.dump())
    for bad in bad_requests(operation):
        error = refusal(operation, bad.value)
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        told = f"{operation} {bad}: {code}: {message}"
        assert (code, error.response["ResponseMetadata"]["HTTPStatusCode"]) == (bad.code, 400), told
        assert bad.words in message, told
        assert f"'{bad.path}'" in message, told
        if bad.code == CONSTRAINT:  # whatever else is said is about the same member
            assert message.count(" at '") == message.count(f" at '{bad.path}'"), told
    assert json.dumps(SAGEMAKER.dump()) == before


def test_there_are_thousands_of_broken_constraints_of_every_kind():
    found = [bad for operation in EMULATED for bad in bad_requests(operation)]
    assert len(found) > 2000
    for words in (
        "Member must not be null",
        "length greater",
        "length less",
        "value greater",
        "value less",
        "enum value set",
        "regular expression",
        "Map keys",
    ):
        assert any(words in bad.words for bad in found), words
    assert sum(bad.code == WRONG_TYPE for bad in found) > 500


@pytest.mark.parametrize("operation", EMULATED)
def test_what_breaks_no_constraint_passes(operation):
    """Else the errors above might be about something else."""
    request = example(SERVICE.operation_model(operation).input_shape)
    assert validation.check(operation, request) == request


@pytest.mark.parametrize("operation", EMULATED)
def test_members_that_the_service_model_has_not_are_ignored_and_logged(operation, caplog):
    """A newer SDK may send some, and AWS's JSON services take them."""
    caplog.set_level("DEBUG", "turnout.sagemaker")
    request = example(SERVICE.operation_model(operation).input_shape)
    assert validation.check(operation, strange(request)) == request
    assert "members that " in caplog.text
    assert "are ignored: Nonsense" in caplog.text


def strange(value: Any) -> Any:
    """Return a request with an unknown member in it and in each structure of a list in it."""
    if isinstance(value, dict):
        return {**{name: strange(part) if part else part for name, part in value.items()}, "Nonsense": {"a": [1]}}
    return [strange(item) for item in value] if isinstance(value, list) else value


#: Operations that say a resource is not there by an error of the service model; all others by ValidationException.
#: DescribeTransformJob has the error in the model, but AWS is known not to use it (see `TransformJobs.describe`).
NOT_FOUND = {"StopTransformJob"}
NAMED = [name for name in EMULATED if name.startswith(("Describe", "Delete", "Stop", "Update", "Get", "Put"))]


@pytest.mark.parametrize("operation", NAMED)
def test_what_does_not_exist_is_not_found_as_aws_says_it(operation):
    error = refusal(operation, example(SERVICE.operation_model(operation).input_shape)).response["Error"]
    assert error["Code"] == ("ResourceNotFound" if operation in NOT_FOUND else "ValidationException")
    assert re.search("[Cc]ould not find|does not exist|Cannot find", error["Message"]), error
    modelled = {shape.name for shape in SERVICE.operation_model(operation).error_shapes}
    assert ("ResourceNotFound" in modelled) == (operation in NOT_FOUND | {"DescribeTransformJob"})


@pytest.mark.parametrize("operation", ["CreateOptimizationJob", "CreateFeatureGroup"])
def test_a_union_has_exactly_one_member(operation):
    """No operation here takes a union; SageMaker has some, and the rule is the model's."""
    shape = SERVICE.operation_model(operation).input_shape
    unions = [bad for bad in broken(shape) if "union" in bad.words]
    assert unions
    for bad in unions:
        with pytest.raises(Invalid, match="exactly one member of the union"):
            validation.check(operation, bad.value)
    assert validation.check(operation, example(shape))


def test_every_other_operation_of_sagemaker_says_that_it_is_not_emulated():
    assert len(OTHERS) > 340
    for operation in OTHERS:
        error = refusal(operation, {})
        assert error.response["Error"]["Code"] == "NotEmulated"
        assert error.response["Error"]["Message"].startswith(f"{operation} is not emulated by the local cloud; it has ")
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_inference_is_emulated_whole():
    wanted = {f"{verb}{noun}" for noun in INFERENCE for verb in ("Create", "Describe", "Delete")} - {
        "DeleteTransformJob"
    }
    wanted |= {f"List{noun}s" for noun in INFERENCE} | {
        "StopTransformJob",
        "Search",
        "AddTags",
        "ListTags",
        "DeleteTags",
    }
    assert wanted <= set(EMULATED)


def test_an_operation_that_sagemaker_has_not_is_unknown():
    service = control_plane.JsonService(SAGEMAKER)
    answer = service.handle_request("POST", "/", {"x-amz-target": "SageMaker.Nonsense"}, b"{}", {})
    status, headers, body = asyncio.run(answer)
    assert (status, json.loads(body)["__type"]) == (400, "UnknownOperationException")
    assert headers["x-amzn-errortype"] == "UnknownOperationException"


def nested(levels: int) -> bytes:
    return b'{"Strange": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"MaxResults": NaN}',
        b"\xff\xfe",
        b'{"NameContains": "\\ud800"}',
        b'{"NameContains": "\xed\xa0\x80"}',
        b'{"\\udfff": 1}',
        pytest.param(nested(101), id="101 levels"),
        pytest.param(nested(60_000), id="60000 levels"),
    ],
)
def test_what_is_no_json_object_cannot_be_read(body):
    with pytest.raises(ClientError) as raised:
        control_plane.send_raw(CLIENT, "ListModels", body)()
    assert raised.value.response["Error"]["Code"] == "SerializationException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "recursion" not in raised.value.response["Error"]["Message"]


def test_whole_surrogate_pairs_and_a_hundred_levels_can_be_read():
    assert control_plane.send_raw(CLIENT, "ListModels", nested(100))()["Models"] == []
    request = validation.from_wire(b'{"NameContains": "\\ud83d\\ude00"}')
    assert request == {"NameContains": "\N{GRINNING FACE}"}


def test_an_empty_body_is_an_empty_request():
    assert control_plane.send_raw(CLIENT, "ListModels", b"")()["Models"] == []


def test_null_is_as_good_as_nothing():
    assert control_plane.send_json(CLIENT, "ListModels", {"NameContains": None})["Models"] == []
    assert "Member must not be null" in str(refusal("DescribeModel", {"ModelName": None}))


@pytest.mark.parametrize("moment", [1_700_000_000, 1_700_000_000.0, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20"])
def test_moments_come_as_numbers_or_as_text(moment):
    assert validation.check("ListModels", {"CreationTimeAfter": moment}) == {"CreationTimeAfter": 1_700_000_000.0}


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "Änderung 東京-1"], ["a!", "a\u0007", "a{b"]),
        (r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*", ["", "A+B = 100 €, „so“"], ["tab\t", "\u0007"]),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,256}", ["value"], ["!"]),
        (r".*", ["", "one line"], ["two\nlines"]),
        (r"[\S]+", ["no-space"], ["a space", ""]),
        (r"^arn:.+:x$", ["arn:a:x"], ["arn:a:xy", "zarn:a:x"]),
    ],
)
def test_patterns_are_java_s(pattern, right, wrong):
    assert all(validation.matches(pattern, text) for text in right)
    assert not any(validation.matches(pattern, text) for text in wrong)


def test_all_problems_of_a_request_are_told_at_once():
    request = {"TransformJobName": "a_b", "ModelName": "m", "MaxPayloadInMB": -1, "BatchStrategy": "Both"}
    error = refusal("CreateTransformJob", request).response["Error"]["Message"]
    assert error.startswith("6 validation errors detected: ")
    for member in ("transformJobName", "maxPayloadInMB", "batchStrategy", "transformInput", "transformResources"):
        assert f"'{member}'" in error


def test_a_wrong_type_comes_before_every_other_mistake():
    with pytest.raises(Malformed, match="NUMBER_VALUE can not be converted to a String at 'modelName'"):
        validation.check("CreateModel", {"ModelName": 7, "Containers": "none"})
