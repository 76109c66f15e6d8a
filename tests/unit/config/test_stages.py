"""One table decides what differs between stages."""

import pytest

from turnout.config import STAGES, stage
from turnout.config.stages import UnknownStage


def test_stages_carry_their_own_names():
    assert {name: made.name for name, made in STAGES.items()} == {"dev": "dev", "prod": "prod"}


def test_production_keeps_data_and_wakes_people_and_development_does_neither():
    dev, prod = stage("dev"), stage("prod")
    for decision in ("retain_data", "deletion_protection", "point_in_time_recovery", "alarms"):
        assert (getattr(dev, decision), getattr(prod, decision)) == (False, True)
    assert (dev.min_instances, prod.min_instances) == (1, 2)


def test_an_unknown_stage_names_those_that_exist():
    with pytest.raises(UnknownStage, match="no stage 'test'; write -c stage=dev or -c stage=prod"):
        stage("test")


def test_job_names_of_every_stage_fit_into_63_characters():
    from handlers.contract.layout import SAGEMAKER_NAME, job_name

    for name in STAGES:
        assert SAGEMAKER_NAME.fullmatch(job_name(name, "m" * 32, "20261123T060000Z-abc123"))
