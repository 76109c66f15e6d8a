"""Writes what is derived from the specs: `docs/configuration.md` and `docs/models.schema.json`.

`python -m turnout.config.generate` after a change to the specs; with `--tables` also the tables of images and
instance types, from the installed SageMaker SDK and botocore (after their pins have changed).
"""

import json
import sys
from pathlib import Path

from turnout.config import images, instances
from turnout.config.json_schema import json_schema
from turnout.config.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def generated() -> dict[str, str]:
    """Return file name below `docs/` -> text."""
    return {
        "configuration.md": reference(),
        "models.schema.json": json.dumps(json_schema(), indent=1) + "\n",
    }


def main(arguments: list[str]) -> None:
    if "--tables" in arguments:
        images.refresh()
        instances.refresh()
    for name, text in generated().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
