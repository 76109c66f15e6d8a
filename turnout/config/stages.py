"""What differs between stages: one table that decides everything stage-dependent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage's decisions. `min_instances` counts instances behind a live endpoint."""

    name: str
    retain_data: bool  # buckets and tables outlive their stack
    deletion_protection: bool  # tables refuse to be deleted
    point_in_time_recovery: bool  # tables can be restored to any second of the last 35 days
    alarms: bool  # alarms notify the topic
    min_instances: int  # Security Hub SageMaker.4 wants two in production
    log_retention_days: int
    work_retention_days: int  # shards and raw transform output
    results_retention_days: int | None  # Parquet results and quarantine; None: for ever


STAGES = {
    "dev": Stage(
        name="dev",
        retain_data=False,
        deletion_protection=False,
        point_in_time_recovery=False,
        alarms=False,
        min_instances=1,
        log_retention_days=7,
        work_retention_days=3,
        results_retention_days=30,
    ),
    "prod": Stage(
        name="prod",
        retain_data=True,
        deletion_protection=True,
        point_in_time_recovery=True,
        alarms=True,
        min_instances=2,
        log_retention_days=90,
        work_retention_days=14,
        results_retention_days=None,
    ),
}


class UnknownStage(ValueError):
    """A stage that the table does not hold."""


def stage(name: str) -> Stage:
    """Return a stage by name. Raises UnknownStage, naming those that exist."""
    if name not in STAGES:
        raise UnknownStage(f"there is no stage {name!r}; write -c stage={' or -c stage='.join(STAGES)}")
    return STAGES[name]
