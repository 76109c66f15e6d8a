"""Search: every operator on every kind of property, nested filters, expressions, order and pages."""

import pytest

from tests.unit.local.control_plane import ARN, FakeCloud, client, config, control_plane, job, model, package
from turnout.local.sagemaker.errors import Invalid, NotEmulated

GROUP = {"ModelPackageGroupName": "churn"}


@pytest.fixture(scope="module")
def api():
    """Three versions of a group (a second apart), one package of its own, two models, one endpoint, one job."""
    api = control_plane(FakeCloud())
    api.call("CreateModelPackageGroup", {**GROUP, "Tags": [{"Key": "team.name", "Value": "growth"}]})
    for number, status in enumerate(("Approved", "Rejected", "PendingManualApproval"), 1):
        request = package(**GROUP, ModelApprovalStatus=status, CertifyForMarketplace=number == 1)
        containers = request["InferenceSpecification"]["Containers"]
        containers[0] |= {"Image": f"image:{number}", "Framework": "XGBOOST" if number == 1 else "SKLEARN"}
        containers.append({"Image": "shared", "Framework": "PYTORCH"})
        api.call("CreateModelPackage", request | {"CustomerMetadataProperties": {"auc": f"0.{number}"}})
    api.call("CreateModelPackage", package(ModelPackageName="alone", Task="OTHER"))
    for number, record in enumerate(api.store.all("model_packages", api._cloud.scope())):
        record["CreationTime"] = record["LastModifiedTime"] = 1_700_000_000.0 + number
    for name in ("first", "second"):
        api.call("CreateModel", {**model(name), "Tags": [{"Key": "stage", "Value": name}]})
    api.call("CreateEndpointConfig", config(model_name="first"))
    api.call("CreateEndpoint", {"EndpointName": "Front", "EndpointConfigName": "c"})
    api.call("CreateTransformJob", job(ModelName="first"))
    return api


def found(api, *filters: dict, resource: str = "ModelPackage", order: str = "Ascending", **more) -> list[str]:
    """Return the last part of each ARN that is found, the oldest first."""
    expression = {"Filters": list(filters)} if filters else None
    request = {"Resource": resource, "SearchExpression": expression, "SortBy": "CreationTime", "SortOrder": order}
    results = api.call("Search", request | more)["Results"]
    shown = [result[resource].get("Model", result[resource]) for result in results]
    return [record[f"{resource}Arn"].partition("/")[2] for record in shown]


def where(name: str, operator: str | None = None, value: str | None = None) -> dict:
    return {k: v for k, v in (("Name", name), ("Operator", operator), ("Value", value)) if v is not None}


ONE, TWO, THREE, ALONE = "churn/1", "churn/2", "churn/3", "alone"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("ModelApprovalStatus", None, "Approved"), [ONE]),
        (where("ModelApprovalStatus", "Equals", "Approved"), [ONE]),
        (where("ModelApprovalStatus", "NotEquals", "Approved"), [TWO, THREE, ALONE]),
        (where("ModelApprovalStatus", "In", "Approved, Rejected"), [ONE, TWO]),
        (where("ModelApprovalStatus", "Contains", "Manual"), [THREE]),
        (where("ModelApprovalStatus", "Exists"), [ONE, TWO, THREE]),
        (where("ModelApprovalStatus", "NotExists"), [ALONE]),
        (where("ModelPackageVersion", "GreaterThan", "1"), [TWO, THREE]),
        (where("ModelPackageVersion", "GreaterThanOrEqualTo", "2"), [TWO, THREE]),
        (where("ModelPackageVersion", "LessThan", "2"), [ONE]),
        (where("ModelPackageVersion", "LessThanOrEqualTo", "2.0"), [ONE, TWO]),
        (where("ModelPackageVersion", "Equals", "2"), [TWO]),
        (where("CreationTime", "GreaterThan", "2023-11-14T22:13:21"), [THREE, ALONE]),
        (where("CreationTime", "LessThanOrEqualTo", "2023-11-14T22:13:20Z"), [ONE]),
        (where("CertifyForMarketplace", "Equals", "true"), [ONE]),
        (where("CertifyForMarketplace", "NotEquals", "True"), [TWO, THREE, ALONE]),
        (where("CustomerMetadataProperties.auc", "Equals", "0.2"), [TWO]),
        (where("InferenceSpecification.Containers.Image", "Equals", "image:3"), [THREE]),
        (where("InferenceSpecification.Containers.Image", "Equals", "shared"), [ONE, TWO, THREE]),
        (where("ModelPackageName", "Equals", "alone"), [ALONE]),
    ],
)
def test_every_operator_finds_what_it_says(api, condition, expected):
    assert found(api, condition) == expected


def test_filters_are_all_to_hold_unless_one_is_enough(api):
    two = [where("ModelPackageVersion", "Equals", "1"), where("ModelApprovalStatus", "Equals", "Rejected")]
    assert found(api, *two) == []
    assert found(api, SearchExpression={"Filters": two, "Operator": "Or"}) == [ONE, TWO]
    assert found(api, SearchExpression={"Filters": two, "Operator": "And"}) == []


def test_expressions_are_nested(api):
    either = {"Operator": "Or", "Filters": [where("ModelPackageVersion", "Equals", n) for n in ("1", "3")]}
    both = {"SubExpressions": [either], "Filters": [where("ModelApprovalStatus", "NotEquals", "Approved")]}
    assert found(api, SearchExpression=both) == [THREE]
    assert found(api, SearchExpression={**both, "Operator": "Or"}) == [ONE, TWO, THREE, ALONE]


def test_nested_filters_hold_for_one_and_the_same_object(api):
    path = "InferenceSpecification.Containers"

    def pair(image: str, framework: str) -> dict:
        filters = [where(f"{path}.Image", "Equals", image), where(f"{path}.Framework", "Equals", framework)]
        return {"NestedFilters": [{"NestedPropertyName": path, "Filters": filters}]}

    assert found(api, SearchExpression=pair("image:1", "XGBOOST")) == [ONE]
    assert found(api, SearchExpression=pair("image:1", "PYTORCH")) == []  # that is the other container's framework


def test_tags_are_found_by_key_even_with_a_dot_in_it(api):
    assert found(api, where("Tags.team.name", None, "growth"), resource="ModelPackageGroup") == ["churn"]
    assert found(api, where("Tags.team.name", "Exists"), resource="ModelPackageGroup") == ["churn"]
    assert found(api, where("Tags.stage", "In", "second,third"), resource="Model") == ["second"]
    assert found(api, where("Tags.stage", "NotExists"), resource="Model") == []


def test_models_come_with_their_endpoints_and_their_last_job(api):
    request = {"Resource": "Model", "SearchExpression": {"Filters": [where("ModelName", "Equals", "first")]}}
    ((result,), hits) = (lambda answer: (answer["Results"], answer["TotalHits"]))(api.call("Search", request))
    assert result["Model"]["Model"]["ModelArn"] == f"{ARN}:model/first"
    assert result["Model"]["Model"]["Tags"] == [{"Key": "stage", "Value": "first"}]
    assert [endpoint["EndpointName"] for endpoint in result["Model"]["Endpoints"]] == ["Front"]
    assert result["Model"]["LastBatchTransformJob"]["TransformJobName"] == "job"
    assert hits == {"Value": 1, "Relation": "EqualTo"}
    assert found(api, where("Model.ModelName", "Equals", "second"), resource="Model") == ["second"]
    assert found(api, where("Endpoints.EndpointName", "Equals", "Front"), resource="Model") == ["first"]


def test_endpoints_are_found_by_status(api):
    assert found(api, where("EndpointStatus", "Equals", "Creating"), resource="Endpoint") == ["front"]
    assert found(api, where("EndpointStatus", "Equals", "Failed"), resource="Endpoint") == []


def test_results_are_sorted_by_any_property(api):
    assert found(api, SortBy="ModelPackageVersion", SortOrder="Ascending") == [ALONE, ONE, TWO, THREE]
    assert found(api, SortBy="CustomerMetadataProperties.auc", order="Descending") == [THREE, TWO, ONE, ALONE]
    newest_first = api.call("Search", {"Resource": "ModelPackage"})["Results"]
    assert [r["ModelPackage"]["ModelPackageArn"].partition("/")[2] for r in newest_first] == [ALONE, THREE, TWO, ONE]


def test_results_come_in_pages(api):
    pages = list(
        client(api).get_paginator("search").paginate(Resource="ModelPackage", PaginationConfig={"PageSize": 3})
    )
    assert [len(page["Results"]) for page in pages] == [3, 1]
    assert {page["TotalHits"]["Value"] for page in pages} == {4}
    assert len({result["ModelPackage"]["ModelPackageArn"] for page in pages for result in page["Results"]}) == 4
    with pytest.raises(Invalid, match="NextToken"):
        api.call("Search", {"Resource": "ModelPackage", "NextToken": "nonsense"})


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ({}, "at least one subexpression, filter, or nested filter"),
        ({"SubExpressions": [{}]}, "at least one subexpression, filter, or nested filter"),
        ({"Filters": [where("Nonsense", "Equals", "a")]}, "Unknown property name: Nonsense"),
        ({"Filters": [where("CreationTime.Nonsense", "Exists")]}, "Unknown property name"),
        ({"Filters": [where("ModelApprovalStatus", "GreaterThan", "a")]}, "GreaterThan is not supported for property"),
        ({"Filters": [where("ModelPackageVersion", "Contains", "1")]}, "Contains is not supported for property"),
        ({"Filters": [where("CreationTime", "In", "1")]}, "In is not supported for property"),
        ({"Filters": [where("ModelPackageVersion", "Equals", "one")]}, "'one' of property ModelPackageVersion is not"),
        ({"Filters": [where("CreationTime", "LessThan", "yesterday")]}, "'yesterday' of property CreationTime is not"),
        ({"Filters": [where("CertifyForMarketplace", "Equals", "maybe")]}, "'maybe' of property"),
        ({"Filters": [where("ModelApprovalStatus", "Equals")]}, "needs a Value"),
        (
            {"Filters": [where("Task", "Contains", "a"), where("Domain", "Contains", "a")]},
            "^'CONTAINS' operator usage limit of 1 exceeded.$",
        ),
        (
            {"SubExpressions": [{"Filters": [where("Task", "Exists")] * 17}] * 3},
            "at most 50 filters; this one has 51",
        ),
        (
            {"NestedFilters": [{"NestedPropertyName": "Task", "Filters": [where("Task.a", "Exists")]}]},
            "is not a list of objects",
        ),
        (
            {"NestedFilters": [{"NestedPropertyName": "Tags", "Filters": [where("Tags.Nonsense", "Exists")]}]},
            "Unknown property name: Nonsense",
        ),
    ],
)
@pytest.mark.parametrize("resource", ["ModelPackage", "of nothing"])
def test_expressions_that_mean_nothing_are_refused_even_where_there_is_nothing_to_find(
    api, resource, expression, words
):
    place = api if resource == "ModelPackage" else control_plane(FakeCloud())
    with pytest.raises(Invalid, match=words):
        place.call("Search", {"Resource": "ModelPackage", "SearchExpression": expression})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"Resource": "TrainingJob"}, "^Search of TrainingJob is not emulated"),
        ({"Resource": "Model", "CrossAccountFilterOption": "CrossAccount"}, "CrossAccountFilterOption"),
    ],
)
def test_a_search_that_cannot_be_made_here_says_so(api, more, words):
    with pytest.raises(NotEmulated, match=words):
        api.call("Search", more)


def test_nothing_is_sorted_by_an_object(api):
    with pytest.raises(Invalid, match="cannot be sorted by InferenceSpecification"):
        api.call("Search", {"Resource": "ModelPackage", "SortBy": "InferenceSpecification"})
