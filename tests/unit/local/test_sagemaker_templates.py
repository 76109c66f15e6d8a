"""What CloudFormation makes of a template's properties before SageMaker sees them."""

import pytest

from tests.unit.local.control_plane import ROLE, FakeCloud, control_plane, model, package
from turnout.local.sagemaker import validation
from turnout.local.sagemaker.cloudformation import ResourceFailed, resource_types
from turnout.local.sagemaker.errors import Invalid


@pytest.fixture
def api():
    return control_plane(FakeCloud())


@pytest.fixture
def types(api):
    return resource_types(api)


def test_numbers_and_booleans_become_text_where_the_api_has_text():
    environment = {"WORKERS": 20, "RATE": 0.5, "VERBOSE": True, "NAME": "n"}
    request = model(Environment=environment)
    typed = validation.typed("CreateModel", {**request, "Tags": [{"Key": "year", "Value": 2024}]})
    texts = {"WORKERS": "20", "RATE": "0.5", "VERBOSE": "true", "NAME": "n"}
    assert typed["PrimaryContainer"]["Environment"] == texts
    assert typed["Tags"] == [{"Key": "year", "Value": "2024"}]


def test_text_becomes_a_number_or_a_boolean_where_the_api_has_one():
    variant = {"VariantName": "v", "InitialInstanceCount": "2", "InitialVariantWeight": "0.5"}
    typed = validation.typed("CreateEndpointConfig", {"ProductionVariants": [variant]})
    assert typed["ProductionVariants"] == [{**variant, "InitialInstanceCount": 2, "InitialVariantWeight": 0.5}]
    assert validation.typed("CreateModel", {"EnableNetworkIsolation": "true"}) == {"EnableNetworkIsolation": True}


def test_a_property_that_the_type_has_not_is_refused_although_the_api_ignores_it(api, types):
    with pytest.raises(Invalid, match=r"#/PrimaryContainer: extraneous key \[Imagee\] is not permitted"):
        validation.typed("CreateModel", {"PrimaryContainer": {"Imagee": "i"}})
    with pytest.raises(ResourceFailed, match=r"extraneous key \[Nonsense\]"):
        types["AWS::SageMaker::Model"].create("m", {**model(), "Nonsense": 1})
    api.call("CreateModel", {**model(), "Nonsense": 1})


def test_a_stack_sets_the_tags_that_are_reserved_for_aws(api, types):
    tags = [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]
    arn, _ = types["AWS::SageMaker::Model"].create("m", {**model(), "Tags": tags})
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == tags


PACKAGE = "AWS::SageMaker::ModelPackage"


def test_a_stack_makes_approves_and_deletes_a_version(api, types):
    api.call("CreateModelPackageGroup", {"ModelPackageGroupName": "churn"})
    properties = package(ModelPackageGroupName="churn", ModelApprovalStatus="PendingManualApproval")
    properties["InferenceSpecification"]["Containers"][0]["Environment"] = {"WORKERS": 2}
    arn, attributes = types[PACKAGE].create("generated", properties)
    assert arn.endswith(":model-package/churn/1")
    assert (attributes["ModelPackageArn"], attributes["ModelPackageStatus"]) == (arn, "Completed")
    assert attributes["CreationTime"].startswith("20")
    types[PACKAGE].update(arn, properties, {**properties, "ModelApprovalStatus": "Approved"})
    container = {"PrimaryContainer": {"ModelPackageName": arn}}
    api.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, **container})
    made = api.call("DescribeModel", {"ModelName": "m"})["PrimaryContainer"]
    assert (made["Image"], made["Environment"]) == ("image:1", {"WORKERS": "2"})
    types[PACKAGE].delete(arn)
    types[PACKAGE].delete(arn)
    assert api.call("ListModelPackages", {"ModelPackageGroupName": "churn"})["ModelPackageSummaryList"] == []


def test_a_stacks_package_without_a_group_has_the_generated_name_and_its_tags(api, types):
    arn, _ = types[PACKAGE].create("generated", package(Tags=[{"Key": "team", "Value": "a"}]))
    assert arn.endswith(":model-package/generated")
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_change_of_what_a_package_holds_replaces_it(types):
    create_only = set(types[PACKAGE].create_only)
    assert {"InferenceSpecification", "ModelPackageGroupName"} <= create_only
    assert not {"ModelApprovalStatus", "CustomerMetadataProperties", "Tags"} & create_only


def test_metadata_that_leave_the_template_leave_the_package(api, types):
    old = package(CustomerMetadataProperties={"a": "1", "b": "2"})
    arn, _ = types[PACKAGE].create("p", old)
    types[PACKAGE].update(arn, old, package(CustomerMetadataProperties={"a": "3"}, ApprovalDescription="why"))
    described = api.call("DescribeModelPackage", {"ModelPackageName": arn})
    assert (described["CustomerMetadataProperties"], described["ApprovalDescription"]) == ({"a": "3"}, "why")
