"""The JSON Schema of `models.yaml`, generated from the specs, so that editors complete and check it.

It accepts every short form. What needs more than one value to judge (a cron's fields, payload times
concurrency) it cannot say: `turnout validate` does.
"""

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from handlers.contract.modes import AVAILABLE
from turnout.config import instances, legality
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.specs import DURATION_FORM, ModelSpec, PlatformSpec, format_duration


def json_schema() -> dict[str, Any]:
    """Return the schema as a JSON-ready dict."""
    entry = ModelSpec.model_json_schema(mode="validation", by_alias=True)
    platform = PlatformSpec.model_json_schema(mode="validation")
    definitions = entry.pop("$defs")
    definitions |= {"ModelSpec": _entry(entry), "PlatformSpec": platform}
    del definitions["ServingMode"]
    for purpose in ("transform", "endpoint"):
        definitions[f"{purpose}_instance"] = {"enum": list(instances.legal(purpose))}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Turnout's models.yaml",
        "type": "object",
        "required": ["models"],
        "additionalProperties": False,
        "properties": {
            "models": {
                "description": "One entry per model, by name.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {
                    "pattern": f"^{legality.NAME.pattern}$",
                    "not": {"enum": sorted(legality.RESERVED_NAMES)},
                },
                "additionalProperties": {"$ref": "#/$defs/ModelSpec"},
            },
            "platform": {
                "description": "What all models share.",
                "anyOf": [{"$ref": "#/$defs/PlatformSpec"}, {"type": "null"}],
            },
        },
        "$defs": definitions,
    }
    return _tidy(schema)


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry as it stands in the file: named by its key, columns perhaps in schema.yaml."""
    properties = {key: value for key, value in entry["properties"].items() if key != "name"}
    properties["mode"] = {
        "description": properties["mode"]["description"],
        "enum": sorted(mode.value for mode in AVAILABLE),
    }
    scheduled = sorted(mode.value for mode, needed in SCORES_IN_BATCH.items() if needed)
    return {
        **entry,
        "description": "One model.",
        "properties": properties,
        "required": ["mode"],
        "if": {"required": ["mode"], "properties": {"mode": {"enum": scheduled}}},
        "then": {"required": ["schedule"], "properties": {"schedule": {"not": {"type": "null"}}}},
    }


def _tidy(schema: Any) -> Any:
    """Drop pydantic's titles and empty defaults, spell durations as the file does, name the instance types."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _tidy(value) for key, value in schema.items() if key != "title" or "$schema" in schema}
    default = out.pop("default", None)
    if default is not None and not isinstance(default, dict):
        out["default"] = _iso_to_short(default) if out.get("pattern") == DURATION_FORM else default
    if "instances" in out:
        del out["type"]
        out["$ref"] = f"#/$defs/{out.pop('instances')}_instance"
    return out


def _iso_to_short(text: str) -> str:
    """Turn pydantic's PT6H into 6h."""
    return format_duration(TypeAdapter(timedelta).validate_python(text))
