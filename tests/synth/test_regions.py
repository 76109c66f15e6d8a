"""Images and layers, which AWS publishes per region: literal where the region is known, looked up where it is not."""

import re

import pytest

from infra.constructs.arrow_layer import NoArrowLayer, arrow_layer_arns
from tests.synth.cloudformation import text_of, texts_of
from tests.synth.conftest import Synth, Template, entry
from turnout.config.images import ImageError, accounts, image_uri

OWN_LAYER = "\nplatform:\n  arrow_layer_arn: arn:aws:lambda:us-east-1:111122223333:layer:pyarrow:3\n"


def image(template: Template) -> str:
    return text_of(template.only("AWS::SageMaker::Model")["PrimaryContainer"]["Image"])


def layers(template: Template) -> set[str]:
    functions = template.properties("AWS::Lambda::Function")
    return {text_of(layer) for function in functions for layer in function.get("Layers", [])}


def test_a_known_region_gets_literals(synth: Synth):
    template = synth(entry(), region="eu-west-1")["churn"]
    assert image(template) == image_uri("sklearn", None, "eu-west-1", "ml.m5.large")
    assert layers(template) == {arrow_layer_arns()["eu-west-1"]}
    assert "Mappings" not in template.body


def test_an_unknown_region_is_looked_up_when_it_is_deployed(precompute: Template):
    regions = precompute.body["Mappings"]["ByRegion"]
    assert set(regions) == set(accounts("sklearn")) & set(arrow_layer_arns())
    assert regions["eu-west-1"] == {
        "Registry": accounts("sklearn")["eu-west-1"],
        "ArrowLayer": arrow_layer_arns()["eu-west-1"],
    }
    registry = "<ByRegion.Registry>.dkr.ecr.<AWS::Region>.<AWS::URLSuffix>/sagemaker-scikit-learn:"
    assert image(precompute).startswith(registry)
    assert layers(precompute) == {"<ByRegion.ArrowLayer>"}


def test_an_image_of_the_users_own_is_taken_as_it_is_and_may_be_pulled(synth: Synth):
    uri = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mine/churn:7"
    template = synth(entry(more=f"    image: {uri}\n"))["churn"]
    assert image(template) == uri
    role = template.starting_with("ServingPipelineModelRole", "AWS::IAM::Role")
    pulled = [
        resource
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
        for resource in texts_of(statement["Resource"])
    ]
    assert pulled == ["arn:<AWS::Partition>:ecr:eu-west-1:111122223333:repository/mine/churn"]


def test_a_region_without_the_layer_is_refused_with_the_setting_that_helps(synth: Synth):
    with pytest.raises(NoArrowLayer, match=r"region cn-north-1.*platform\.arrow_layer_arn"):
        synth(entry(), region="cn-north-1")


def test_a_region_without_the_image_is_refused(synth: Synth):
    with pytest.raises(ImageError, match="xx-nowhere-1"):
        synth(entry(), region="xx-nowhere-1", platform=OWN_LAYER)


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_a_layer_of_the_users_own_replaces_the_table(synth: Synth, region: str | None):
    template = synth(entry(), region=region, platform=OWN_LAYER)["churn"]
    assert layers(template) == {"arn:aws:lambda:us-east-1:111122223333:layer:pyarrow:3"}
    assert "ArrowLayer" not in str(template.body.get("Mappings"))


def test_the_layer_table_is_for_our_runtime_and_architecture():
    from infra.constructs.function import ARCHITECTURE, RUNTIME

    name = f"AWSSDKPandas-Python{RUNTIME.removeprefix('python').replace('.', '')}-{ARCHITECTURE.capitalize()}"
    for region, arn in arrow_layer_arns().items():
        assert re.fullmatch(rf"arn:aws:lambda:{region}:[0-9]{{12}}:layer:{name}:[0-9]+", arn)
