"""`docs/configuration.md`: every key of `models.yaml` with its type, default and meaning, generated from the specs."""

import inspect
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from handlers.contract.modes import AVAILABLE, ServingMode
from turnout.config import legality
from turnout.config.capabilities import SCORES_IN_BATCH
from turnout.config.images import DEFAULT_VERSIONS, versions
from turnout.config.shape import inner, members
from turnout.config.specs import (
    FeatureSpec,
    KeySpec,
    ModelSpec,
    PlatformSpec,
    ScheduleSpec,
    SchemaSpec,
    Strict,
    format_duration,
)

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m turnout.config.generate` from turnout/config/specs.py. Edits here are lost. -->

`models.yaml` holds one entry per model. Three lines are enough when the model's code folder brings a
[`schema.yaml`](#the-schema-file):

```yaml
models:
  churn:
    mode: batch
    schedule: cron(0 6 * * ? *)
```

`mode` is the one setting that decides how a model is served: change the word, deploy, and clients keep
their URL. Settings of modes that are not active may stay in the entry; they are checked all the same.

`turnout validate` reports every problem at once, each with its line, the reason and what to write instead.
Editors complete and check the file by `docs/models.schema.json`; the first line of `models.yaml` names it:
`# yaml-language-server: $schema=docs/models.schema.json`.

The text is read as YAML 1.2: `yes`, `0042` and `12:30` are text, a key may stand once, tags are refused.
Durations are a whole number and `s`, `m`, `h` or `d`, such as `36h`. Numbers are not text: quote `"1.9"` where
text is wanted.

## An entry that says more

```yaml
models:
  churn:
    description: Probability that a customer does not come back.
    mode: precompute
    schedule: {cron: 0 6 ? * MON-FRI *, timezone: Europe/Berlin}
    key: {column: customer_id, type: string} # or just: customer_id
    features: # or a list of names, all floats: [recency, frequency]
      recency: float
      purchases: {type: integer, min: 0}
      segment: {type: string, values: [new, loyal], nullable: true}
    input: {format: csv}
    transform: {instance_type: ml.m5.xlarge, instance_count: 2}
    max_staleness: 36h
    tags: {team: growth}
platform:
  alarm_email: oncall@example.com
```
"""

#: Keys of an entry that its schema file fills in.
SCHEMA_KEYS = ("key", "features")

SCHEMA_FILE = """\
What is here may also stand in `models.yaml`, which wins: `features` there replace the list here as a whole.

```yaml
key: customer_id
features:
  recency: float
  purchases: {type: integer, min: 0}
prediction: churn_probability
```
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION, "## Modes\n", _modes(), "## A model's entry\n", _table(ModelSpec)]
    for name, field in members(ModelSpec).items():
        section = inner(field.annotation)
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts += [f"### `{name}`\n", _prose(section), _table(section)]
    parts += ["### A feature\n", _prose(FeatureSpec), _table(FeatureSpec)]
    parts += ["## The schema file\n", _prose(SchemaSpec), SCHEMA_FILE, _table(SchemaSpec)]
    parts += ["## `platform`\n", _prose(PlatformSpec), _table(PlatformSpec)]
    parts += ["## Images\n", _images(), "## What is refused\n", _refused()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _prose(section: type[BaseModel]) -> str:
    return inspect.cleandoc(section.__doc__ or "") + "\n"


def _modes() -> str:
    rows = ["| mode | available | needs a schedule |", "|---|---|---|"]
    for mode in ServingMode:
        scheduled = "yes" if SCORES_IN_BATCH[mode] else "no"
        rows.append(f"| `{mode}` | {'yes' if mode in AVAILABLE else 'not yet'} | {scheduled} |")
    return "\n".join(rows)


def _table(section: type[BaseModel]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in members(section).items():
        if section is ModelSpec and name == "name":
            continue
        default = "from `schema.yaml`" if section is ModelSpec and name in SCHEMA_KEYS else _default(field)
        cells = (f"`{name}`", _kind(name, field), default, field.description or "")
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _kind(name: str, field: FieldInfo) -> str:
    kind = inner(field.annotation)
    limits = {type(mark).__name__: mark for mark in field.metadata}
    bounds = _bounds(limits)
    if kind in (ScheduleSpec, KeySpec):
        return f"text or [settings](#{name})"
    if isinstance(kind, type) and issubclass(kind, Strict):
        return f"[settings](#{name})"
    if get_origin(kind) is Literal:
        return " | ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of the [modes](#modes)"
    if get_origin(kind) is dict:
        return "list or mapping of [features](#a-feature)" if get_args(kind)[1] is not str else "mapping of text"
    words = {timedelta: "duration", bool: "true or false", int: "whole number", float: "number", Path: "path"}
    return words.get(kind, "list" if get_origin(kind) is list else "text") + bounds


def _bounds(limits: dict[str, Any]) -> str:
    least, most = limits.get("Ge"), limits.get("Le")
    if least and most:
        return f", {least.ge} to {most.le}"
    return f", at least {least.ge}" if least else ""


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "required"
    if default is None or default is PydanticUndefined or default == "" or isinstance(default, BaseModel):
        return ""
    if isinstance(default, timedelta):
        return f"`{format_duration(default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _images() -> str:
    rows = [
        "Prebuilt inference images of SageMaker, by `framework` and `framework_version`. Which of a version's images",
        "is taken (CPU, GPU, Graviton) follows from the instance type.\n",
        "| framework | versions | default |",
        "|---|---|---|",
    ]
    for framework, default in DEFAULT_VERSIONS.items():
        rows.append(f"| `{framework}` | {', '.join(f'`{v}`' for v in versions(framework))} | `{default}` |")
    return "\n".join(rows)


def _refused() -> str:
    return f"""\
- Names: lower-case letters, digits and hyphens, a letter first, at most 32 characters; not `platform`.
- Instance types that SageMaker does not take for the job at hand: fewer types run batch transform than serve
  endpoints; Graviton runs no batch transform; the scikit-learn images know no GPU.
- `transform.max_payload_mb` times `transform.max_concurrent` above 100, which CreateTransformJob refuses.
- Schedules that EventBridge Scheduler refuses: cron wants six fields with `?` in one of the two days; rates are
  singular for 1 and plural otherwise; moments have no zone of their own; time zones must exist.
- `keep_scores` that ends before the next run has replaced the scores, by the schedule's longest gap; more rows in
  `traffic.entities` than one run takes.
- A key that is also a feature, features without a name of their own, `min` above `max`, `values` of another type.
- Feature names {_quoted(legality.RESERVED_FEATURES)}, in any case: the lines of Batch Transform use them.
  Key and prediction columns named {_quoted(legality.RESERVED_COLUMNS)}: the results use them.
- More than {legality.MAX_VARIABLES} environment variables, more than {legality.MAX_TAGS} tags, tags that start with
  `aws:` or `turnout:`.
- What the mode's endpoint cannot do and the entry asks for by name, such as `network_isolation: true` with a
  serverless endpoint. Only instance endpoints and asynchronous ones have instances; a real-time one keeps at least one.
- `image` together with `framework`, `artifact` together with `code`, images outside ECR or without a tag.

Text features may travel as `csv`, quoted where needed. A row whose text contains a line break goes to quarantine,
because Batch Transform splits its input by lines; with `transform.wire_format: jsonlines` or `parquet` it is scored."""


def _quoted(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
