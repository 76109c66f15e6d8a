"""Sample payloads with the predictions that training made of them, which the gate compares an endpoint with."""

from collections.abc import Iterator
from pathlib import Path

from turnout.config.archive import SAMPLES
from turnout.config.capabilities import endpoint_of
from turnout.config.specs import ModelSpec


def samples_of(spec: ModelSpec) -> Path | None:
    """Return the file that holds an entry's samples; None where there is none."""
    path = spec.samples or (spec.code / "artifact" / SAMPLES if spec.code else None)
    return path if path is not None and path.is_file() else None


def unproved(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Yield why an endpoint would be passed without having been asked, and what to do about it.

    A model that is not trained yet has nothing to be asked, and is refused at synth.
    """
    if endpoint_of(spec) is None or samples_of(spec) is not None:
        return
    reason = "the model has no sample payloads: a deploy goes ahead as soon as its endpoint is in service, unasked"
    if spec.artifact is not None:
        yield reason, "Name a file of them under `samples`."
    elif spec.code is not None and any((spec.code / "artifact").glob("*")):
        yield reason, f"Have training write artifact/{SAMPLES} (docs/switching.md says what is in it)."
