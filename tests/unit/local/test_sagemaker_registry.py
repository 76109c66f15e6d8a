"""The model registry, and models made of its packages; no emulator, no process."""

import json

import pytest

from tests.unit.local.control_plane import ARN, HERE, FakeCloud, control_plane, job, model, package
from turnout.local.sagemaker.cloudformation import ResourceFailed, resource_types
from turnout.local.sagemaker.errors import Conflict, Invalid, NotEmulated

GROUP = {"ModelPackageGroupName": "Churn"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture
def cloud():
    return FakeCloud()


@pytest.fixture
def api(cloud):
    api = control_plane(cloud)
    api.call("CreateModelPackageGroup", GROUP)
    return api


def version(api, **more) -> str:
    return api.call("CreateModelPackage", package(**GROUP, **more))["ModelPackageArn"]


def describe(api, name: str) -> dict:
    return api.call("DescribeModelPackage", {"ModelPackageName": name})


# Groups


def test_a_group_lives_and_dies(api):
    described = api.call("DescribeModelPackageGroup", GROUP)
    assert described["ModelPackageGroupArn"] == f"{ARN}:model-package-group/churn"
    assert (described["ModelPackageGroupStatus"], described["CreatedBy"]) == ("Completed", {})
    by_arn = {"ModelPackageGroupName": described["ModelPackageGroupArn"]}
    assert api.call("DescribeModelPackageGroup", by_arn) == described
    with pytest.raises(Invalid, match=f"^Model Package Group already exists: {ARN}:model-package-group/churn$"):
        api.call("CreateModelPackageGroup", GROUP)
    api.call("DeleteModelPackageGroup", by_arn)
    for operation in ("DescribeModelPackageGroup", "DeleteModelPackageGroup"):
        with pytest.raises(Invalid, match=f"^ModelPackageGroup {ARN}:model-package-group/churn does not exist.$"):
            api.call(operation, GROUP)


def test_a_group_with_versions_is_not_deleted(api):
    arn = version(api)
    with pytest.raises(Conflict, match="contains Model Packages"):
        api.call("DeleteModelPackageGroup", GROUP)
    api.call("DeleteModelPackage", {"ModelPackageName": arn})
    api.call("DeleteModelPackageGroup", GROUP)


def test_a_group_has_a_policy_while_it_is_put(api):
    with pytest.raises(Invalid, match=r"^Cannot find resource policy for: .*/churn$"):
        api.call("GetModelPackageGroupPolicy", GROUP)
    put = api.call("PutModelPackageGroupPolicy", {**GROUP, "ResourcePolicy": POLICY})
    assert put["ModelPackageGroupArn"] == f"{ARN}:model-package-group/churn"
    assert api.call("GetModelPackageGroupPolicy", GROUP)["ResourcePolicy"] == POLICY
    api.call("DeleteModelPackageGroupPolicy", GROUP)
    for operation in ("GetModelPackageGroupPolicy", "DeleteModelPackageGroupPolicy"):
        with pytest.raises(Invalid, match="Cannot find resource policy"):
            api.call(operation, GROUP)
        with pytest.raises(Invalid, match=r"^Cannot find Model Package Group: .*/nobody$"):
            api.call(operation, {"ModelPackageGroupName": "nobody"})
    with pytest.raises(Invalid, match="not a JSON document"):
        api.call("PutModelPackageGroupPolicy", {**GROUP, "ResourcePolicy": "{"})


# Packages


def test_versions_are_numbered_and_no_number_is_given_twice(api):
    first, second = version(api), version(api)
    assert (first, second) == (f"{ARN}:model-package/churn/1", f"{ARN}:model-package/churn/2")
    api.call("DeleteModelPackage", {"ModelPackageName": second})
    third = version(api)
    assert third.endswith("/3")
    described = describe(api, third)
    assert (described["ModelPackageVersion"], described["ModelPackageGroupName"]) == (3, "Churn")
    assert (described["ModelApprovalStatus"], described["ModelPackageStatus"]) == ("PendingManualApproval", "Completed")
    assert "ModelPackageName" not in described  # as on AWS; the SDK takes what is there for the name to ask for
    assert describe(api, "churn/3") == described


def test_a_package_of_its_own_has_a_name_and_no_version(api):
    arn = api.call("CreateModelPackage", package(ModelPackageName="Alone"))["ModelPackageArn"]
    described = describe(api, "Alone")
    assert (arn, described["ModelPackageName"]) == (f"{ARN}:model-package/alone", "Alone")
    assert not {"ModelPackageVersion", "ModelApprovalStatus", "ModelPackageGroupName"} & set(described)
    with pytest.raises(Invalid, match="already exists"):
        api.call("CreateModelPackage", package(ModelPackageName="Alone"))


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (package(), Invalid, "^Missing ARN.$"),
        (
            package(ModelPackageName="a", **GROUP),
            Invalid,
            "^Both ModelPackageName and ModelPackageGroupName are provided",
        ),
        (package(ModelPackageGroupName="nobody"), Invalid, "^ModelPackageGroup .*/nobody does not exist.$"),
        (package(**GROUP, Tags=[{"Key": "a", "Value": "b"}]), Invalid, "^Tags cannot be given for a versioned"),
        (package(ModelPackageName="a", ModelApprovalStatus="Approved"), Invalid, "non-versioned ModelPackages"),
        (
            {"ModelPackageName": "a", "InferenceSpecification": {"Containers": [{"Environment": {"A": "b"}}]}},
            Invalid,
            "^Environment variable map cannot be specified when using non-versioned ModelPackages$",
        ),
        (
            package(
                **GROUP,
                ValidationSpecification={
                    "ValidationRole": "arn:aws:iam::000000000000:role/any",
                    "ValidationProfiles": [
                        {
                            "ProfileName": "p",
                            "TransformJobDefinition": {
                                k: job()[k] for k in ("TransformInput", "TransformOutput", "TransformResources")
                            },
                        }
                    ],
                },
            ),
            NotEmulated,
            "ValidationSpecification is not emulated",
        ),
    ],
)
def test_packages_that_cannot_be_are_refused(api, request_, error, words):
    with pytest.raises(error, match=words):
        api.call("CreateModelPackage", request_)
    assert api.call("ListModelPackages", {"ModelPackageType": "Both"})["ModelPackageSummaryList"] == []


@pytest.mark.parametrize("operation", ["DescribeModelPackage", "DeleteModelPackage"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", f"^ModelPackage {ARN}:model-package/nobody does not exist.$"),
        ("churn/7", f"^ModelPackage {ARN}:model-package/churn/7 does not exist.$"),
        ("arn:aws:sagemaker:eu-west-1:000000000000:model-package/churn/1", "scoped to correct region: us-east-1$"),
        ("arn:aws:sagemaker:us-east-1:111111111111:model-package/churn/1", "does not exist"),
        (f"{ARN}:model/churn", "is not the ARN of a model-package"),
    ],
)
def test_a_package_that_is_not_there_is_not_found(api, operation, name, words):
    version(api)
    with pytest.raises(Invalid, match=words):
        api.call(operation, {"ModelPackageName": name})


def test_a_request_sent_twice_makes_one_version(api):
    assert version(api, ClientToken="t-1") == version(api, ClientToken="t-1")
    assert version(api, ClientToken="t-2").endswith("/2")


def test_an_approval_is_remembered_and_announced(api, cloud):
    arn = version(api)
    created = cloud.events.get(timeout=10)
    assert created[:2] == (HERE, "SageMaker Model Package State Change")
    record = api.store.find("model_packages", HERE, arn)
    record["CreationTime"] = record["LastModifiedTime"] = 1000.0
    approved = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "good"}
    assert api.call("UpdateModelPackage", approved) == {"ModelPackageArn": arn}
    after = describe(api, arn)
    assert (after["ModelApprovalStatus"], after["ApprovalDescription"]) == ("Approved", "good")
    assert after["LastModifiedTime"] > after["CreationTime"] == 1000.0
    _, _, detail, resources = cloud.events.get(timeout=10)
    assert resources == [arn]
    assert (detail["ModelPackageGroupName"], detail["ModelPackageVersion"]) == ("Churn", 1)
    assert (detail["ModelApprovalStatus"], detail["ModelPackageStatus"]) == ("Approved", "Completed")
    assert detail["UpdatedModelPackageFields"] == ["ModelApprovalStatus", "ApprovalDescription"]
    assert detail["CreationTime"].endswith("Z")
    assert not [name for name in detail if name.startswith("_")]
    assert json.dumps(detail)


def test_an_update_changes_only_what_it_names(api):
    arn = version(api, CustomerMetadataProperties={"a": "1", "b": "2"})
    update = {"CustomerMetadataProperties": {"b": "3", "c": "4"}, "CustomerMetadataPropertiesToRemove": ["a"]}
    api.call("UpdateModelPackage", {"ModelPackageArn": arn, **update})
    assert describe(api, arn)["CustomerMetadataProperties"] == {"b": "3", "c": "4"}
    assert describe(api, arn)["InferenceSpecification"] == package()["InferenceSpecification"]
    with pytest.raises(Invalid, match="does not exist"):
        api.call("UpdateModelPackage", {"ModelPackageArn": f"{ARN}:model-package/churn/9"})


def test_a_package_of_its_own_has_no_approval(api):
    arn = api.call("CreateModelPackage", package(ModelPackageName="alone"))["ModelPackageArn"]
    with pytest.raises(Invalid, match="non-versioned ModelPackages"):
        api.call("UpdateModelPackage", {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"})


def test_more_specifications_are_added_up_to_fifteen(api):
    arn = version(api)
    more = [{**package()["InferenceSpecification"], "Name": f"n{n}"} for n in range(15)]
    api.call("UpdateModelPackage", {"ModelPackageArn": arn, "AdditionalInferenceSpecificationsToAdd": more})
    assert len(describe(api, arn)["AdditionalInferenceSpecifications"]) == 15
    with pytest.raises(Invalid, match="at most 15"):
        api.call("UpdateModelPackage", {"ModelPackageArn": arn, "AdditionalInferenceSpecificationsToAdd": more[:1]})


def test_lists_tell_versions_from_packages_of_their_own(api):
    api.call("CreateModelPackage", package(ModelPackageName="alone"))
    first, second = version(api), version(api, ModelApprovalStatus="Approved")

    def listed(**request) -> list[str]:
        found = api.call("ListModelPackages", {"SortOrder": "Ascending", **request})["ModelPackageSummaryList"]
        return [summary["ModelPackageArn"] for summary in found]

    alone = f"{ARN}:model-package/alone"
    assert listed() == [alone]
    assert listed(ModelPackageType="Versioned") == [first, second]
    assert listed(ModelPackageType="Both", SortBy="Name") == [first, second, alone]
    assert listed(ModelPackageGroupName="churn", ModelApprovalStatus="Approved") == [second]
    assert listed(ModelPackageGroupName=f"{ARN}:model-package-group/churn", SortOrder="Descending") == [second, first]
    with pytest.raises(Invalid, match="does not exist"):
        listed(ModelPackageGroupName="nobody")


def test_many_are_described_at_once_and_the_missing_ones_named(api):
    arn, gone = version(api), f"{ARN}:model-package/churn/9"
    found = api.call("BatchDescribeModelPackage", {"ModelPackageArnList": [arn, gone]})
    assert found["ModelPackageSummaries"][arn]["ModelPackageVersion"] == 1
    error = found["BatchDescribeModelPackageErrorMap"][gone]
    assert error == {"ErrorCode": "ValidationException", "ErrorResponse": f"ModelPackage {gone} does not exist."}


def test_the_registry_survives_saving(api, cloud):
    version(api)
    api.call("PutModelPackageGroupPolicy", {**GROUP, "ResourcePolicy": POLICY})
    after = control_plane(cloud)
    after.load(json.loads(json.dumps(api.dump())))
    assert version(after).endswith("/2")
    assert after.call("GetModelPackageGroupPolicy", GROUP)["ResourcePolicy"] == POLICY


# Models of packages


def container_of(api, **container) -> dict:
    request = {**model("made"), "PrimaryContainer": container}
    api.call("CreateModel", request)
    return api.call("DescribeModel", {"ModelName": "made"})["PrimaryContainer"]


def test_an_approved_version_makes_a_model(api):
    container = {"Image": "i", "ModelDataUrl": "s3://b/p.tar.gz", "Environment": {"A": "1", "B": "2"}}
    specification = {"Containers": [{**container, "Framework": "XGBOOST"}]}
    arn = version(api, ModelApprovalStatus="Approved", InferenceSpecification=specification)
    made = container_of(api, ModelPackageName="churn/1", Environment={"B": "3"})
    assert made == {
        "ModelPackageName": arn,
        "Image": "i",
        "ModelDataUrl": "s3://b/p.tar.gz",
        "Environment": {"A": "1", "B": "3"},
        "Mode": "SingleModel",
    }
    api.call("CreateTransformJob", job(ModelName="made"))


@pytest.mark.parametrize("status", ["PendingManualApproval", "Rejected"])
def test_a_version_that_is_not_approved_makes_none(api, status):
    version(api, ModelApprovalStatus=status)
    with pytest.raises(Invalid, match=f"has the approval status {status}"):
        container_of(api, ModelPackageName="churn/1")
    with pytest.raises(Invalid, match="does not exist"):
        container_of(api, ModelPackageName="churn/2")


def test_a_specification_is_chosen_by_name(api):
    other = {"Name": "other", "Containers": [{"Image": "other:1", "ModelDataUrl": "s3://b/o.tar.gz"}]}
    version(api, ModelApprovalStatus="Approved", AdditionalInferenceSpecifications=[other])
    with pytest.raises(Invalid, match="no inference specification named nobody"):
        container_of(api, ModelPackageName="churn/1", InferenceSpecificationName="nobody")
    made = container_of(api, ModelPackageName="churn/1", InferenceSpecificationName="other")
    assert made["Image"] == "other:1"


def test_a_package_without_containers_makes_no_model(api):
    api.call("CreateModelPackage", {**GROUP, "SourceUri": "s3://b/k", "ModelApprovalStatus": "Approved"})
    with pytest.raises(NotEmulated, match="there is no InferenceSpecification"):
        container_of(api, ModelPackageName="churn/1")


# CloudFormation


def test_a_stack_has_a_group_with_policy_and_tags(api):
    kind = resource_types(api)["AWS::SageMaker::ModelPackageGroup"]
    tags = [{"Key": "team", "Value": "a"}]
    properties = {"ModelPackageGroupName": "Stack", "ModelPackageGroupPolicy": json.loads(POLICY), "Tags": tags}
    arn, attributes = kind.create("generated", properties)
    assert (arn, attributes["ModelPackageGroupStatus"]) == (f"{ARN}:model-package-group/stack", "Completed")
    assert json.loads(api.call("GetModelPackageGroupPolicy", {"ModelPackageGroupName": "Stack"})["ResourcePolicy"])
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == tags
    assert kind.update(arn, properties, {"ModelPackageGroupName": "Stack"}) == (arn, attributes)
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == []
    with pytest.raises(Invalid, match="Cannot find resource policy"):
        api.call("GetModelPackageGroupPolicy", {"ModelPackageGroupName": "Stack"})
    with pytest.raises(ResourceFailed, match=r"already exists.*ValidationException"):
        kind.create("generated", properties)
    kind.delete(arn)
    kind.delete(arn)
    with pytest.raises(Invalid, match="does not exist"):
        api.call("DescribeModelPackageGroup", {"ModelPackageGroupName": "Stack"})
