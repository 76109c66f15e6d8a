"""Tasks of state machines that ask SageMaker, with nothing behind it; jobs that are waited for: `test_transform.py`."""

import json

import pytest

from tests.unit.local.control_plane import ARN, FakeCloud, config, control_plane, job, model
from turnout.local.sagemaker import stepfunctions
from turnout.local.sagemaker.errors import ModelError
from turnout.local.sagemaker.hosting.invocations import Response

TASK = "arn:aws:states:::sagemaker"


@pytest.fixture
def api():
    return control_plane(FakeCloud())


def test_a_state_machine_makes_a_model_a_configuration_an_endpoint_and_a_job(api):
    for action, request, answer in (
        ("createModel", model("m"), {"ModelArn": f"{ARN}:model/m"}),
        ("createEndpointConfig", config("c"), {"EndpointConfigArn": f"{ARN}:endpoint-config/c"}),
        ("createEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, {"EndpointArn": f"{ARN}:endpoint/e"}),
        ("createTransformJob", job("j"), {"TransformJobArn": f"{ARN}:transform-job/j"}),
    ):
        assert stepfunctions.run(api, f"{TASK}:{action}", request) == answer
    with pytest.raises(stepfunctions.TaskFailed, match="Cannot update in-progress endpoint") as caught:
        stepfunctions.run(api, f"{TASK}:updateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    assert caught.value.error == "SageMaker.AmazonSageMakerException"


@pytest.mark.parametrize("action", ["createModelPackage", "createTrainingJob", "createEndpoint.sync", "describeModel"])
def test_other_integrations_are_refused_by_name(api, action):
    with pytest.raises(stepfunctions.TaskFailed, match=f"sagemaker:{action} is not emulated") as caught:
        stepfunctions.run(api, f"{TASK}:{action}", {})
    assert caught.value.error == "States.Runtime"


def test_a_task_asks_an_endpoint(api):
    asked = []
    headers = {"Content-Type": "text/csv", "x-Amzn-Invoked-Production-Variant": "A"}
    api.invoke = lambda request: asked.append(request) or Response(b"3.0", headers)
    parameters = {"EndpointName": "e", "Body": {"a": 1}, "ContentType": "application/json", "TargetVariant": "A"}
    answer = stepfunctions.invoke(api, stepfunctions.INVOKE, parameters)
    assert answer == {"Body": "3.0", "ContentType": "text/csv", "InvokedProductionVariant": "A"}
    assert (asked[0].endpoint, json.loads(asked[0].body)) == ("e", {"a": 1})
    assert asked[0].headers == {"content-type": "application/json", "x-amzn-sagemaker-target-variant": "A"}


def test_a_models_error_has_a_name_that_a_state_machine_can_catch(api):
    def fail(request):
        raise ModelError("Received client error (415)", 415, "no", "arn")

    api.invoke = fail
    with pytest.raises(stepfunctions.TaskFailed) as caught:
        stepfunctions.invoke(api, stepfunctions.INVOKE, {"EndpointName": "e", "Body": "1"})
    assert (caught.value.error, caught.value.cause) == (
        "SageMakerRuntime.ModelErrorException",
        "Received client error (415)",
    )


def machine(resource: str) -> str:
    task = {"Type": "Task", "Resource": resource, "End": True}
    inner = {"StartAt": "T", "States": {"T": task}}
    return json.dumps({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": inner, "End": True}}})


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (f"{TASK}:createTransformJob.sync", "Express state machine does not support '.sync' service integration"),
        ("arn:aws:states:::states:startExecution.sync:2", "does not support '.sync' service integration"),
        ("arn:aws:states:::sqs:sendMessage.waitForTaskToken", "does not support '.waitForTaskToken'"),
        (f"{TASK}:createTransformJob", None),
        ("arn:aws:lambda:us-east-1:000000000000:function:my.sync-function", None),
    ],
)
def test_express_state_machines_wait_for_nothing(resource, words):
    problem = stepfunctions.unfit_for_express(machine(resource))
    assert problem is None if words is None else words in problem


def test_what_is_no_definition_is_left_to_step_functions():
    assert stepfunctions.unfit_for_express("{") is None
