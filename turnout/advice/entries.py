"""Entries with answers that were given beside the file: by flags, or asked for."""

from collections.abc import Mapping

from pydantic import ValidationError

from turnout.advice.questions import QUESTIONS
from turnout.config.complaints import complaint
from turnout.config.specs import AnswersSpec, ModelSpec
from turnout.errors import UserError

#: What a model is called that no entry names yet.
NEW = "my-model"


def with_answers(spec: ModelSpec, given: Mapping[str, str | None]) -> ModelSpec:
    """Return the entry with answers in the file's spelling, which go before its own. Raises UserError."""
    said = {name: getattr(spec.answers, name) for name in QUESTIONS}
    merged = {**said, **{name: answer for name, answer in given.items() if answer is not None}}
    try:
        answers = AnswersSpec.model_validate({name: answer for name, answer in merged.items() if answer is not None})
    except ValidationError as error:
        wrong = complaint(AnswersSpec, error.errors(include_url=False)[0])
        raise UserError(f"{'.'.join(map(str, wrong.path))}: {wrong.reason}.", wrong.remedy) from error
    return spec.model_copy(update={"answers": answers})


def with_requests(spec: ModelSpec, requests: int | None) -> ModelSpec:
    """Return the entry with another number of requests a month; None leaves it as it is."""
    if requests is None:
        return spec
    return spec.model_copy(update={"traffic": spec.traffic.model_copy(update={"requests_per_month": requests})})


def new_entry() -> ModelSpec:
    """Return an entry for a model that is not in the file yet; its mode stands for nothing."""
    return ModelSpec.model_validate({"name": NEW, "mode": "batch", "key": "id", "features": ["x"]})
