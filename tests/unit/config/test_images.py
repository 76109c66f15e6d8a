"""Image URIs against the SageMaker SDK's own answer, and where Turnout knows better."""

import functools

import pytest

from turnout.config import images, instances
from turnout.config.images import ImageError, accounts, default_version, image_name, image_uri, processor, versions

REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-3", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "il-central-1"]
TYPES = ["ml.m5.large", "ml.c7i.xlarge", "ml.g5.xlarge", "ml.p3.2xlarge", "ml.m6g.large", "ml.c7g.xlarge"]


@pytest.fixture(scope="module")
def retrieve():
    """Return the SDK's function, with what it cannot guess filled in.

    The SDK reads botocore's list of endpoints anew at every call; here it is read once.
    """
    from sagemaker.core import image_uris

    def retrieve(framework, version, region, instance_type):
        base = image_name(framework, version, instance_type).partition(":")[2].partition("-")[0]
        extra = {"base_framework_version": f"pytorch{base}"} if framework == "huggingface" else {}
        return image_uris.retrieve(
            framework, region, version=version, instance_type=instance_type, image_scope="inference", **extra
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_uris.utils, "_botocore_resolver", functools.cache(image_uris.utils._botocore_resolver))
        yield retrieve


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "pytorch", "huggingface"])
def test_every_uri_is_the_one_that_the_sdk_gives(framework, retrieve):
    compared = 0
    for version in versions(framework):
        for instance_type in TYPES:
            for region in REGIONS:
                try:
                    ours = image_uri(framework, version, region, instance_type)
                except ImageError:
                    continue
                assert ours == retrieve(framework, version, region, instance_type)
                compared += 1
    assert compared > 25


def test_every_region_of_the_table_gives_the_sdks_uri(retrieve):
    for framework in ("sklearn", "pytorch"):
        for region in accounts(framework):
            version = default_version(framework)
            assert image_uri(framework, None, region, "ml.m5.large") == retrieve(
                framework, version, region, "ml.m5.large"
            )


@pytest.mark.parametrize("framework", images.DEFAULT_VERSIONS)
def test_what_we_refuse_on_cpus_the_sdk_refuses_too(framework, retrieve):
    for version in versions(framework):
        for region in REGIONS:
            if "cpu" in images._table()["frameworks"][framework][version] and region not in accounts(
                framework, version
            ):
                with pytest.raises(ValueError, match="region"):
                    retrieve(framework, version, region, "ml.m5.large")


def test_the_committed_table_is_what_the_installed_sdk_says(tmp_path):
    images.refresh(tmp_path / "images.json")
    assert (tmp_path / "images.json").read_text() == images.TABLE.read_text()


def test_scikit_learn_1_9_is_the_default_because_models_are_pickled_by_1_9():
    import sklearn

    assert default_version("sklearn") == "1.9-0"
    assert sklearn.__version__.startswith("1.9.")
    assert image_uri("sklearn", None, "us-east-1", "ml.m5.large") == (
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
    )


@pytest.mark.parametrize("framework", images.DEFAULT_VERSIONS)
def test_default_versions_exist_and_are_the_newest(framework):
    assert default_version(framework) == versions(framework)[-1]


@pytest.mark.parametrize(
    ("instance_type", "kind"),
    [
        ("ml.m5.large", "cpu"),
        ("ml.g4dn.xlarge", "gpu"),
        ("ml.g6e.xlarge", "gpu"),
        ("ml.p4d.24xlarge", "gpu"),
        ("ml.m6g.large", "arm64"),
        ("ml.m8g.large", "arm64"),
        ("ml.c6gn.xlarge", "arm64"),
        ("ml.r7gd.xlarge", "arm64"),
        ("ml.inf2.xlarge", "inf"),
        ("ml.trn1.2xlarge", "trn"),
    ],
)
def test_a_type_names_what_it_computes_with(instance_type, kind):
    assert processor(instance_type) == kind


def test_graviton_never_gets_an_image_for_x86_or_of_another_version(retrieve):
    graviton = [name for name in instances.legal("endpoint") if processor(name) == "arm64"]
    assert len(graviton) > 50
    for instance_type in graviton:
        assert "arm64" in image_uri("pytorch", None, "us-east-1", instance_type)
        with pytest.raises(ImageError, match="no image for that"):
            image_uri("sklearn", None, "us-east-1", instance_type)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("sklearn", "1.4-2", "us-east-1", "ml.m5.large"), "Use 1.4-2-py312"),
        (("pytorch", "2.6", "us-east-1", "ml.m5.large"), "Use 2.6.0"),
        (("pytorch", "9.9.9", "us-east-1", "ml.m5.large"), "there are 2.0.0"),
        (("sklearn", None, "mars-north-1", "ml.m5.large"), "Deploy to one of"),
        (("sklearn", None, "us-east-1", "ml.m6g.large"), "framework_version 1.0-1"),
        (("tensorflow", None, "us-east-1", "ml.m5.large"), "Write one of sklearn"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_choice(arguments, remedy):
    with pytest.raises(ImageError) as caught:
        image_uri(*arguments)
    assert remedy in caught.value.remedy


def test_a_stack_without_region_gets_every_account():
    table = accounts("sklearn", "1.9-0")
    assert table["eu-west-1"] == "141502667606"
    assert len(table) > 30
    table.clear()
    assert accounts("sklearn", "1.9-0")
