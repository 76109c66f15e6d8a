"""Lists: every filter, order and page; no emulator, no process."""

import base64

import pytest
from botocore import xform_name

from tests.unit.local.control_plane import (
    ARN,
    HERE,
    FakeCloud,
    client,
    config,
    control_plane,
    job,
    model,
    package,
    service_model,
)
from turnout.local.sagemaker.errors import Invalid
from turnout.local.sagemaker.listing import LISTINGS
from turnout.local.sagemaker.store import RESOURCES

#: Operation -> what creates one of its resources, by name.
CREATE = {
    "ListModels": lambda name: ("CreateModel", model(name)),
    "ListEndpointConfigs": lambda name: ("CreateEndpointConfig", config(name)),
    "ListEndpoints": lambda name: ("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": "c"}),
    "ListTransformJobs": lambda name: ("CreateTransformJob", job(name)),
    "ListModelPackageGroups": lambda name: ("CreateModelPackageGroup", {"ModelPackageGroupName": name}),
    "ListModelPackages": lambda name: ("CreateModelPackage", package(ModelPackageName=name)),
}
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
EVERY_LIST = pytest.mark.parametrize("operation", sorted(LISTINGS))


@pytest.fixture
def api():
    """A control plane with a model `m` and a configuration `c`, which lists of five others come on top of."""
    api = control_plane(FakeCloud())
    api.call("CreateModel", model())
    api.call("CreateEndpointConfig", config())
    return api


def create(api, operation: str) -> None:
    """Create five resources a second apart, in the order of NAMES, modified ten seconds later."""
    listing = LISTINGS[operation]
    for kind in ("models", "endpoint_configs"):
        for record in api.store.all(kind, HERE):
            record["CreationTime"] = 0.0
    for number, name in enumerate(NAMES):
        api.call(*CREATE[operation](name))
        record = next(r for r in api.store.all(listing.kind, HERE) if r[listing.name] == name)
        record["CreationTime"] = 1000.0 + number
        if "LastModifiedTime" in record:
            record["LastModifiedTime"] = 1010.0 + number
        if listing.status:
            good = {"ListEndpoints": "InService", "ListTransformJobs": "Completed"}[operation]
            record[listing.status] = "Failed" if number % 2 else good


def names(api, operation: str, **request) -> list[str]:
    listing = LISTINGS[operation]
    arn = RESOURCES[listing.kind].arn
    found = api.call(operation, {"CreationTimeAfter": 1.0, **request})[listing.key]
    return [summary[arn].rpartition("/")[2] for summary in found]


@EVERY_LIST
def test_a_list_can_be_sorted_by_everything_the_service_allows(api, operation):
    create(api, operation)
    assert names(api, operation, SortBy="Name", SortOrder="Ascending") == sorted(NAMES)
    assert names(api, operation, SortBy="CreationTime", SortOrder="Descending") == [*reversed(NAMES)]
    oldest_first = operation in ("ListModelPackages", "ListModelPackageGroups")
    assert names(api, operation) == [*NAMES] if oldest_first else [*reversed(NAMES)]
    shape = service_model().operation_model(operation).input_shape
    for by in shape.members["SortBy"].enum:
        up, down = (names(api, operation, SortBy=by, SortOrder=order) for order in ("Ascending", "Descending"))
        assert (sorted(up), down) == (sorted(NAMES), [*reversed(up)]), by


@EVERY_LIST
def test_time_filters_take_the_moment_itself_as_after_and_not_as_before(api, operation):
    create(api, operation)
    order = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
    assert names(api, operation, CreationTimeAfter=1002, **order) == ["gamma", "delta", "epsilon"]
    assert names(api, operation, CreationTimeBefore=1002, **order) == ["alpha", "beta"]
    assert names(api, operation, CreationTimeAfter=1001, CreationTimeBefore=1002, **order) == ["beta"]


def test_times_are_shown_and_compared_in_milliseconds(api):
    (record,) = api.store.all("models", HERE)
    record["CreationTime"] = 1000.00049
    assert api.call("DescribeModel", {"ModelName": "m"})["CreationTime"] == 1000.0
    assert api.call("ListModels", {"CreationTimeBefore": 1000.0})["Models"] == []
    (found,) = api.call("ListModels", {"CreationTimeAfter": 1000.0})["Models"]
    assert found["CreationTime"] == 1000.0


@pytest.mark.parametrize("operation", ["ListEndpoints", "ListTransformJobs"])
def test_lists_know_when_something_was_last_modified_and_what_became_of_it(api, operation):
    create(api, operation)
    order = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
    if operation == "ListTransformJobs":
        for record in api.store.all("jobs", HERE):
            record["TransformEndTime"] = record["CreationTime"] + 10
    assert names(api, operation, LastModifiedTimeAfter=1013, **order) == ["delta", "epsilon"]
    assert names(api, operation, LastModifiedTimeBefore=1011, **order) == ["alpha"]
    assert names(api, operation, StatusEquals="Failed", **order) == ["beta", "delta"]
    assert names(api, operation, StatusEquals="Failed", NameContains="lt", **order) == ["delta"]
    (summary, *_) = api.call(operation, {"NameContains": "alpha"})[LISTINGS[operation].key]
    assert summary["LastModifiedTime"] == 1010.0


@EVERY_LIST
def test_a_name_filter_looks_for_a_part_of_the_name(api, operation):
    create(api, operation)
    assert sorted(names(api, operation, NameContains="lta")) == ["delta"]
    assert names(api, operation, NameContains="nobody") == []


@EVERY_LIST
def test_pages_together_are_the_whole_list(api, operation):
    create(api, operation)
    paginator = client(api).get_paginator(xform_name(operation))
    for size in (1, 2, 5, 100):
        pages = list(paginator.paginate(CreationTimeAfter=1, PaginationConfig={"PageSize": size}))
        found = [summary for page in pages for summary in page[LISTINGS[operation].key]]
        assert len({summary[RESOURCES[LISTINGS[operation].kind].arn] for summary in found}) == len(found) == 5
        assert len(pages) == -(-5 // size)


def test_ten_come_on_a_page_unless_more_are_asked_for(api):
    for number in range(12):
        api.call("CreateModel", model(f"m{number}"))
    assert len(api.call("ListModels", {})["Models"]) == 10
    assert len(api.call("ListModels", {"MaxResults": 100})["Models"]) == 13


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_do_not_shift_when_what_was_listed_is_deleted_or_added_to(api, order):
    create(api, "ListModels")
    ask = {"SortOrder": order, "SortBy": "Name", "MaxResults": 2, "CreationTimeAfter": 1.0}
    first = api.call("ListModels", ask)
    for summary in first["Models"]:
        api.call("DeleteModel", {"ModelName": summary["ModelName"]})
    api.call("CreateModel", model("aaaa" if order == "Ascending" else "zzzz"))  # before where the next page begins
    second = api.call("ListModels", ask | {"NextToken": first["NextToken"]})
    assert [m["ModelName"] for m in second["Models"]] == sorted(NAMES, reverse=order == "Descending")[2:4]


@EVERY_LIST
def test_a_token_that_nobody_gave_out_is_refused(api, operation):
    create(api, operation)
    for token in ("nonsense", base64.b64encode(b"[1, 2, 3]").decode(), base64.b64encode(b"{}").decode(), "é"):
        with pytest.raises(Invalid, match="NextToken"):
            api.call(operation, {"NextToken": token})


def test_a_token_is_for_the_question_it_was_given_to(api):
    create(api, "ListModels")
    token = api.call("ListModels", {"MaxResults": 2})["NextToken"]
    assert api.call("ListModels", {"MaxResults": 3, "NextToken": token})["Models"]
    for other in (
        ("ListModels", {"NameContains": "a"}),
        ("ListEndpointConfigs", {}),
        ("Search", {"Resource": "Model"}),
    ):
        with pytest.raises(Invalid, match="NextToken"):
            api.call(other[0], other[1] | {"NextToken": token})


@EVERY_LIST
def test_the_table_knows_every_filter_of_the_service_model(operation):
    """A filter that a later service model adds must not be passed over in silence."""
    shape = service_model().operation_model(operation).input_shape
    known = {"SortBy", "SortOrder", "NextToken", "MaxResults", "NameContains"}
    known |= {f"{time}{side}" for time in ("CreationTime", "LastModifiedTime") for side in ("After", "Before")}
    known |= {"StatusEquals", "CrossAccountFilterOption"}
    known |= {"ModelPackageGroupName", "ModelPackageType", "ModelApprovalStatus"}
    assert set(shape.members) <= known


def test_nothing_is_shared_between_accounts(api):
    create(api, "ListModelPackageGroups")
    assert names(api, "ListModelPackageGroups", CrossAccountFilterOption="CrossAccount") == []
    assert len(names(api, "ListModelPackageGroups", CrossAccountFilterOption="SameAccount")) == 5


# Tags


@pytest.mark.parametrize(
    ("operation", "request_", "arn"),
    [
        ("CreateModel", model("Tagged"), f"{ARN}:model/tagged"),
        ("CreateEndpointConfig", config("tagged"), f"{ARN}:endpoint-config/tagged"),
        ("CreateEndpoint", {"EndpointName": "tagged", "EndpointConfigName": "c"}, f"{ARN}:endpoint/tagged"),
        ("CreateTransformJob", job("tagged"), f"{ARN}:transform-job/tagged"),
        ("CreateModelPackageGroup", {"ModelPackageGroupName": "tagged"}, f"{ARN}:model-package-group/tagged"),
        ("CreateModelPackage", package(ModelPackageName="tagged"), f"{ARN}:model-package/tagged"),
    ],
)
def test_everything_with_an_arn_has_tags(api, operation, request_, arn):
    api.call(operation, {**request_, "Tags": [{"Key": "team é", "Value": "a"}]})
    added = api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "stage", "Value": "dev"}]})["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in added} == {"team é": "a", "stage": "dev"}
    api.call("DeleteTags", {"ResourceArn": arn, "TagKeys": ["team é"]})
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == [{"Key": "stage", "Value": "dev"}]


def test_tags_end_with_their_resource(api):
    arn = api.call("CreateModel", {**model("short"), "Tags": [{"Key": "a", "Value": "b"}]})["ModelArn"]
    api.call("DeleteModel", {"ModelName": "short"})
    with pytest.raises(Invalid, match="Could not find resource"):
        api.call("ListTags", {"ResourceArn": arn})
    api.call("CreateModel", model("short"))
    assert api.call("ListTags", {"ResourceArn": arn})["Tags"] == []


def test_a_resource_has_at_most_fifty_tags(api):
    arn = f"{ARN}:model/m"
    api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(50)]})
    api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "k7", "Value": "new"}]})
    with pytest.raises(Invalid, match="at most 50 tags"):
        api.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "one-more", "Value": ""}]})
    assert len(client(api).get_paginator("list_tags").paginate(ResourceArn=arn).build_full_result()["Tags"]) == 50


def test_tags_of_other_accounts_are_out_of_sight(api):
    with pytest.raises(Invalid, match="Could not find resource"):
        api.call("ListTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:111111111111:model/m"})
