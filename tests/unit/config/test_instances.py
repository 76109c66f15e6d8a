"""Instance types against botocore's enumerations."""

import pytest

from turnout.config import instances
from turnout.config.instances import legal, nearest


def test_the_committed_table_is_what_the_installed_botocore_says(tmp_path):
    instances.refresh(tmp_path / "instances.json")
    assert (tmp_path / "instances.json").read_text() == instances.TABLE.read_text()


def test_every_type_that_runs_transform_jobs_also_serves_endpoints():
    assert set(legal("transform")) < set(legal("endpoint"))


@pytest.mark.parametrize(
    ("illegal", "suggested"),
    [
        ("ml.c5.large", "ml.c5.xlarge"),
        ("ml.t2.medium", "ml.m5.large"),
        ("ml.r5.2xlarge", "ml.r6i.2xlarge"),
        ("ml.m6g.xlarge", "ml.m6i.xlarge"),
        ("ml.m5.8xlarge", "ml.m5.12xlarge"),
        ("ml.m5.96xlarge", "ml.m5.24xlarge"),
        ("m5.large", "ml.m5.large"),
        ("c5.large", "ml.c5.xlarge"),
        ("ML.M5.LARGE", "ml.m5.large"),
        ("ml.m5.larg", "ml.m5.large"),
        ("", "ml.m5.large"),
    ],
)
def test_the_nearest_type_is_of_the_same_family_and_size_where_there_is_one(illegal, suggested):
    assert nearest(illegal, "transform") == suggested


def test_whatever_serves_endpoints_has_a_legal_neighbour_for_transform():
    assert {nearest(name, "transform") for name in legal("endpoint")} <= set(legal("transform"))
