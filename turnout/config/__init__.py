"""`models.yaml` as typed specifications; every problem gathered and reported in the file's own terms."""

from turnout.config.cards import to_card
from turnout.config.editing import edit_mode, write_whole
from turnout.config.problems import ConfigError, Problem
from turnout.config.reading import artifact_problems, load
from turnout.config.specs import Config, ModelSpec
from turnout.config.stages import STAGES, Stage, UnknownStage, stage

__all__ = [
    "STAGES",
    "Config",
    "ConfigError",
    "ModelSpec",
    "Problem",
    "Stage",
    "UnknownStage",
    "artifact_problems",
    "edit_mode",
    "load",
    "stage",
    "to_card",
    "write_whole",
]
