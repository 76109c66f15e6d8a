"""The control plane alone: no emulator, no process."""

import json
import re

import pytest

from tests.unit.local.control_plane import ARN, HERE, ROLE, FakeCloud, config, control_plane, job, model, package
from turnout.local.emulator import _runtime_error, _sagemaker_arn
from turnout.local.sagemaker import validation
from turnout.local.sagemaker.errors import ApiError, InUse, Invalid, ModelError, NotEmulated, NotFound, UnknownOperation
from turnout.local.sagemaker.ports import Scope


@pytest.fixture
def cloud():
    return FakeCloud()


@pytest.fixture
def started():
    return []


@pytest.fixture
def api(cloud, started):
    return control_plane(cloud, started)


EMULATED = sorted(control_plane(FakeCloud())._api.operations)


@pytest.mark.parametrize("operation", EMULATED)
def test_every_constraint_of_the_service_model_can_be_checked(operation):
    shape = validation._service().operation_model(operation).input_shape
    patterns, seen = [], set()

    def collect(part):
        if part.name in seen:
            return
        seen.add(part.name)
        patterns.append(part.metadata.get("pattern"))
        for child in (
            *getattr(part, "members", {}).values(),
            *(getattr(part, n, None) for n in ("member", "key", "value")),
        ):
            if child is not None:
                collect(child)

    collect(shape)
    assert all(isinstance(validation._compiled(p), re.Pattern) for p in patterns if p)


def test_a_model_lives_and_dies(api):
    arn = api.call("CreateModel", model("My-Model"))["ModelArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:000000000000:model/my-model"
    assert api.call("DescribeModel", {"ModelName": "My-Model"})["PrimaryContainer"]["Image"] == "image"
    with pytest.raises(Invalid, match=f'Cannot create already existing model "{arn}"'):
        api.call("CreateModel", model("My-Model"))
    api.call("DeleteModel", {"ModelName": "My-Model"})
    with pytest.raises(Invalid, match="Could not find model"):
        api.call("DescribeModel", {"ModelName": "My-Model"})


@pytest.mark.parametrize(
    ("operation", "name", "request_", "error", "words"),
    [
        ("CreateModel", "ModelName", model(), Invalid, 'already existing model "{arn}"'),
        ("CreateTransformJob", "TransformJobName", job(), InUse, "already exists ({arn})"),
        ("CreateEndpointConfig", "EndpointConfigName", config(), Invalid, 'existing endpoint configuration "{arn}"'),
        ("CreateEndpoint", "EndpointName", {"EndpointConfigName": "c"}, Invalid, 'already existing endpoint "{arn}"'),
        ("CreateModelPackageGroup", "ModelPackageGroupName", {}, Invalid, "already exists: {arn}"),
        ("CreateModelPackage", "ModelPackageName", package(), Invalid, "already exists: {arn}"),
    ],
)
def test_names_that_differ_in_case_alone_are_one_name(api, operation, name, request_, error, words):
    api.call("CreateModel", model())
    api.call("CreateEndpointConfig", config())
    tags = [{"Key": "of", "Value": "the first"}]
    (arn,) = api.call(operation, request_ | {name: "Case-A", "Tags": tags}).values()
    other = {name: "case-a", "Tags": [{"Key": "of", "Value": "the second"}]}
    with pytest.raises(error, match=re.escape(words.format(arn=arn))):
        api.call(operation, request_ | other)
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == tags


def test_accounts_and_regions_do_not_see_each_other(api, cloud):
    api.call("CreateModel", model())
    for other in (Scope("111111111111", "us-east-1"), Scope(HERE.account, "eu-west-1")):
        cloud.current = other
        assert api.call("ListModels", {})["Models"] == []
        assert other.region in api.call("CreateModel", model())["ModelArn"]


def test_a_job_is_started_once(api, started):
    api.call("CreateModel", model())
    arn = api.call("CreateTransformJob", job())["TransformJobArn"]
    assert [j["TransformJobArn"] for j in started] == [arn]
    with pytest.raises(InUse, match="Job name must be unique within an AWS account and region"):
        api.call("CreateTransformJob", job())
    assert len(started) == 1


def test_a_finished_job_keeps_its_name_and_cannot_be_stopped(api, started):
    api.call("CreateModel", model())
    api.call("CreateTransformJob", job())
    started[0]["TransformJobStatus"] = "Completed"
    with pytest.raises(InUse):
        api.call("CreateTransformJob", job())
    with pytest.raises(Invalid, match="in status Completed"):
        api.call("StopTransformJob", {"TransformJobName": "job"})
    with pytest.raises(NotFound):
        api.call("StopTransformJob", {"TransformJobName": "nobody"})


JOINED = {"JoinSource": "Input"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"TransformJobName": "a_b"}, Invalid, "Value 'a_b' at 'transformJobName' failed to satisfy constraint"),
        ({"TransformJobName": "a" * 64}, Invalid, "length less than or equal to 63"),
        ({"TransformResources__InstanceType": "ml.t2.medium"}, Invalid, "transformResources.instanceType"),
        ({"TransformResources__InstanceCount": 0}, Invalid, "transformResources.instanceCount"),
        ({"MaxPayloadInMB": 51, "MaxConcurrentTransforms": 2}, Invalid, "must not exceed 100 MB; it is 102 MB"),
        ({"BatchStrategy": "MultiRecord", "TransformInput__SplitType": "None"}, Invalid, "needs SplitType"),
        ({"DataProcessing": {"InputFilter": "$..a"}}, Invalid, "InputFilter: JSONPath"),
        ({"DataProcessing": {"OutputFilter": "$" + "x" * 63}}, Invalid, "length less than or equal to 63"),
        ({"DataProcessing": JOINED, "TransformOutput__Accept": "application/json"}, Invalid, "to be equal"),
        ({"DataProcessing": JOINED, "TransformOutput__AssembleWith": "None"}, Invalid, "AssembleWith Line"),
        ({"DataProcessing": JOINED, "TransformInput__ContentType": "image/png"}, Invalid, "needs ContentType"),
        (
            {"ModelName": "nobody"},
            Invalid,
            'Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/nobody"',
        ),
    ],
)
def test_bad_jobs_are_refused_and_not_started(api, started, changes, error, message):
    api.call("CreateModel", model())
    with pytest.raises(error, match=re.escape(message)):
        api.call("CreateTransformJob", job(**changes))
    assert started == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"ModelName": "m", "ExecutionRoleArn": ROLE}, "PrimaryContainer and Containers"),
        ({**model(), "PrimaryContainer": {"ModelDataUrl": "s3://b/k"}}, "needs an Image"),
        ({**model(), "ExecutionRoleArn": "x" * 30}, "executionRoleArn"),
        (model(ModelDataUrl="ftp://b/k"), "modelDataUrl"),
    ],
)
def test_bad_models_are_refused(api, request_, message):
    with pytest.raises(Invalid, match=message):
        api.call("CreateModel", request_)


def with_variables(*sizes: int) -> dict:
    """Return a model with one container for each size, whose variables have so many bytes together."""
    key, most = "V00", 1024
    containers = []
    for size in sizes:
        values = [most] * (size // (most + len(key))) + [size % (most + len(key)) - len(key)]
        variables = {f"V{n:02}": "x" * length for n, length in enumerate(values)}
        containers.append({"Image": "image", "Environment": variables})
    return {"ModelName": "m", "ExecutionRoleArn": ROLE, "Containers": containers}


def test_the_variables_of_all_containers_have_32_kb_together(api):
    with pytest.raises(Invalid, match="have 32769 bytes together; at most 32768 are allowed"):
        api.call("CreateModel", with_variables(32_769))
    with pytest.raises(Invalid, match="have 32769 bytes together"):
        api.call("CreateModel", with_variables(16_384, 16_385))
    wide = {"Image": "image", "Environment": {f"V{n}": "é" * 1024 for n in range(16)}}
    with pytest.raises(Invalid, match="have 32806 bytes together"):  # two bytes a letter
        api.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": wide})
    api.call("CreateModel", with_variables(16_384, 16_384))


def test_what_is_not_emulated_says_its_name(api):
    with pytest.raises(NotEmulated, match="CreateTrainingJob is not emulated by the local cloud; it has AddTags"):
        api.call("CreateTrainingJob", {})
    with pytest.raises(UnknownOperation, match="SageMaker has no operation Nonsense"):
        api.call("Nonsense", {})


def test_tags_come_and_go(api):
    arn = api.call("CreateModel", {**model(), "Tags": [{"Key": "team é", "Value": "a"}]})["ModelArn"]
    api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "stage", "Value": "dev"}]})
    api.call("DeleteTags", {"ResourceArn": arn, "TagKeys": ["team é"]})
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == [{"Key": "stage", "Value": "dev"}]
    with pytest.raises(ApiError, match="Could not find resource"):
        api.call("ListTags", {"ResourceArn": arn + "x"})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["aws:x"], "aws: prefixed tag key names are not allowed"),
        (["AWS:x"], "aws: prefixed tag key names are not allowed"),
        (["a", "b", "a"], "Duplicate tag keys are not allowed: a"),
    ],
)
def test_reserved_and_repeated_tags_are_refused(api, keys, words):
    arn = api.call("CreateModel", model())["ModelArn"]
    tags = {"Tags": [{"Key": key, "Value": "v"} for key in keys]}
    for operation, request in (("AddTags", {"ResourceArn": arn}), ("CreateModel", model("n"))):
        with pytest.raises(Invalid, match=words):
            api.call(operation, request | tags)
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == []
    assert api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "aws", "Value": "v"}]})["Tags"]


def test_resources_are_found_by_their_tags(api, cloud):
    arn = api.call("CreateModel", {**model(), "Tags": [{"Key": "team", "Value": "a"}]})["ModelArn"]
    api.call("CreateModel", model("untagged"))
    assert list(api.store.tagged(HERE)) == [(arn, [{"Key": "team", "Value": "a"}])]
    assert list(api.store.tagged(Scope(HERE.account, "eu-west-1"))) == []


def test_a_description_has_the_defaults_that_aws_fills_in(api, started):
    """Samples: https://docs.aws.amazon.com/sagemaker/latest/dg/autopilot-deploy-models-batch.html."""
    api.call("CreateModel", model())
    assert api.call("DescribeModel", {"ModelName": "m"})["PrimaryContainer"] == {
        **model()["PrimaryContainer"],
        "Mode": "SingleModel",
        "Environment": {},
    }
    request = job()
    request["TransformInput"].pop("SplitType")
    request["TransformOutput"].pop("AssembleWith")
    api.call("CreateTransformJob", request)
    described = api.call("DescribeTransformJob", {"TransformJobName": "job"})
    assert described["TransformInput"] == {**request["TransformInput"], "CompressionType": "None", "SplitType": "None"}
    assert described["TransformOutput"] == {**request["TransformOutput"], "AssembleWith": "None", "KmsKeyId": ""}
    assert described["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert described["TransformResources"] == request["TransformResources"]
    assert "DataProcessing" not in started[0]
    assert started[0]["TransformOutput"] == request["TransformOutput"]


def test_what_was_set_wins_over_the_defaults(api):
    api.call("CreateModel", model(Environment={"A": "1"}))
    assert api.call("DescribeModel", {"ModelName": "m"})["PrimaryContainer"]["Environment"] == {"A": "1"}
    api.call("CreateTransformJob", job(DataProcessing={"InputFilter": "$[1:]"}))
    described = api.call("DescribeTransformJob", {"TransformJobName": "job"})
    assert (described["TransformInput"]["SplitType"], described["TransformOutput"]["AssembleWith"]) == ("Line", "Line")
    assert described["DataProcessing"] == {"InputFilter": "$[1:]", "OutputFilter": "$", "JoinSource": "None"}


def test_a_configuration_can_go_while_an_endpoint_uses_it(api):
    """SageMaker's Python SDK deletes an endpoint's configuration first; updates still know what the endpoint is."""
    api.call("CreateModel", model())
    for name, more in (("c", {}), ("less", {"ProductionVariants": [SERVERLESS]})):
        api.call("CreateEndpointConfig", config(name, **more))
    api.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    api.store.get("endpoints", HERE, "e")["EndpointStatus"] = "InService"
    api.call("DeleteEndpointConfig", {"EndpointConfigName": "c"})
    with pytest.raises(Invalid, match="Could not find endpoint configuration"):
        api.call("DescribeEndpointConfig", {"EndpointConfigName": "c"})
    assert api.call("DescribeEndpoint", {"EndpointName": "e"})["EndpointConfigName"] == "c"
    with pytest.raises(Invalid, match="Cannot convert instance-based endpoint e to a serverless endpoint"):
        api.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "less"})
    capacities = [{"VariantName": "nobody", "DesiredWeight": 1.0}]
    with pytest.raises(Invalid, match='Could not find variant "nobody"'):
        api.call("UpdateEndpointWeightsAndCapacities", {"EndpointName": "e", "DesiredWeightsAndCapacities": capacities})


def test_lists_come_in_pages_newest_first(api, started):
    api.call("CreateModel", model())
    for number in range(5):
        api.call("CreateTransformJob", job(f"job-{number}"))
        started[number]["CreationTime"] = 1000.0 + number
    first = api.call("ListTransformJobs", {"MaxResults": 3})
    rest = api.call("ListTransformJobs", {"MaxResults": 3, "NextToken": first["NextToken"]})
    names = [j["TransformJobName"] for page in (first, rest) for j in page["TransformJobSummaries"]]
    assert names == ["job-4", "job-3", "job-2", "job-1", "job-0"]
    assert "NextToken" not in rest


def test_state_survives_saving_and_a_job_in_flight_is_failed(cloud):
    before = control_plane(cloud)
    before.call("CreateModel", model())
    before.call("CreateTransformJob", job())
    after = control_plane(cloud)
    after.load(json.loads(json.dumps(before.dump())))
    assert after.call("DescribeModel", {"ModelName": "m"})["ModelName"] == "m"
    described = after.call("DescribeTransformJob", {"TransformJobName": "job"})
    assert described["TransformJobStatus"] == "Failed"
    assert "was stopped while the job was running" in described["FailureReason"]


# What a model may be, and where it may be used

SERVERLESS = {"VariantName": "All", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}


def data_source(compression: str, kind: str = "S3Prefix") -> dict:
    return {"S3DataSource": {"S3Uri": "s3://b/m/", "S3DataType": kind, "CompressionType": compression}}


def test_a_model_is_described_as_it_was_created(api):
    parts = [{"Image": f"image:{n}", "ModelDataUrl": "s3://b/m.tar.gz"} for n in range(15)]
    for count in (1, 2, 15):
        api.call("CreateModel", {"ModelName": f"m{count}", "ExecutionRoleArn": ROLE, "Containers": parts[:count]})
        described = api.call("DescribeModel", {"ModelName": f"m{count}"})
        assert described["Containers"] == [{**part, "Mode": "SingleModel", "Environment": {}} for part in parts[:count]]
        assert "PrimaryContainer" not in described
        api.call("CreateTransformJob", job(f"job-{count}", ModelName=f"m{count}"))
        api.call("CreateEndpointConfig", config(f"c{count}", f"m{count}"))
    api.call("CreateModel", model("m"))
    assert "Containers" not in api.call("DescribeModel", {"ModelName": "m"})


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"ModelDataSource": data_source("Gzip")}, "the S3DataType of a Gzip ModelDataSource is S3Object"),
        (
            {"ModelDataSource": data_source("None"), "ModelDataUrl": "s3://b/k"},
            "one of ModelDataUrl and ModelDataSource",
        ),
        ({"ModelPackageName": "nobody"}, "ModelPackage .*/nobody does not exist"),
    ],
)
def test_containers_that_cannot_be_are_refused(api, container, words):
    request = {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "i", **container}}
    with pytest.raises(Invalid, match=words):
        api.call("CreateModel", request)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (model(Mode="MultiModel"), "Model m: the mode MultiModel"),
        (
            {**model(), "InferenceExecutionConfig": {"Mode": "Direct"}},
            "Model m: the InferenceExecutionConfig Direct",
        ),
        (
            model(AdditionalModelDataSources=[{"ChannelName": "c", **data_source("None")}]),
            "AdditionalModelDataSources",
        ),
    ],
)
def test_a_model_that_nothing_here_can_run_is_kept_but_not_used(api, started, request_, words):
    api.call("CreateModel", request_)
    for use in (("CreateTransformJob", job()), ("CreateEndpointConfig", config())):
        with pytest.raises(NotEmulated, match=words):
            api.call(*use)
    assert started == []


def test_uncompressed_data_is_for_instances_of_endpoints_only(api):
    primary = {"Image": "i", "ModelDataSource": data_source("None")}
    api.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": primary})
    api.call("CreateEndpointConfig", config())
    with pytest.raises(Invalid, match="uncompressed ModelDataSource, which no transform job takes"):
        api.call("CreateTransformJob", job())
    with pytest.raises(Invalid, match="do not support a Model with an uncompressed ModelDataSource"):
        api.call("CreateEndpointConfig", {"EndpointConfigName": "less", "ProductionVariants": [SERVERLESS]})


def test_a_pipeline_is_not_for_serverless_endpoints(api):
    parts = [{"Image": "a"}, {"Image": "b"}]
    api.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, "Containers": parts})
    with pytest.raises(Invalid, match="do not support a Model of several containers"):
        api.call("CreateEndpointConfig", {"EndpointConfigName": "less", "ProductionVariants": [SERVERLESS]})


@pytest.mark.parametrize(
    ("path", "request_", "resource"),
    [
        ("/", {"ModelName": "My-Model"}, "model/my-model"),
        ("/", {"TransformJobName": "j", "ModelName": "m"}, "transform-job/j"),
        ("/", {"ModelPackageGroupName": "Churn"}, "model-package-group/churn"),
        ("/", {"ModelPackageName": f"{ARN}:model-package/churn/1"}, "model-package/churn/1"),
        ("/", {"ModelPackageArn": f"{ARN}:model-package/churn/1"}, "model-package/churn/1"),
        ("/", {"ResourceArn": f"{ARN}:endpoint/e"}, "endpoint/e"),
        ("/endpoints/Front/invocations", {}, "endpoint/front"),
    ],
)
def test_iam_sees_which_resource_a_request_is_about(path, request_, resource):
    assert _sagemaker_arn(HERE, path, json.dumps(request_).encode()) == f"{ARN}:{resource}"


@pytest.mark.parametrize("body", [b"{}", b"{", b"[]", b""])
def test_iam_sees_any_resource_where_a_request_names_none(body):
    assert _sagemaker_arn(HERE, "/", body) == "*"


@pytest.mark.parametrize(
    ("status", "code"),
    [(415, "CLIENT_ERROR_FROM_MODEL"), (502, "INTERNAL_FAILURE_FROM_MODEL"), (0, "INTERNAL_FAILURE_FROM_MODEL")],
)
def test_the_body_of_a_models_error_says_whose_fault_it_is(status, code):
    """As in https://github.com/aws/sagemaker-tensorflow-serving-container/issues/109."""
    answered, headers, body = _runtime_error(ModelError("words", status, "own words", "arn"))
    assert (answered, headers["x-amzn-ErrorType"]) == (424, "ModelError")
    assert json.loads(body) == {
        "ErrorCode": code,
        "LogStreamArn": "arn",
        "Message": "words",
        "OriginalMessage": "own words",
        "OriginalStatusCode": status,
    }
