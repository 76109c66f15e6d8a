"""What went wrong inside the model, as callers are told: short, in its own words, without a stack trace."""

import json
import re

from handlers.contract.errors import ModelFailed, ModelRefused, ModelTimeout, RequestError, RequestExpired

#: Characters of a container's message that go on to a caller; the container's log has the rest.
LONGEST = 400

#: `Received client error (400) from primary with message "..."`, as SageMaker writes it.
_RECEIVED = re.compile(r"Received (?:client|server) error \((\d{3})\)")
_EXPIRED = re.compile(r"\bexpired\b", re.I)
_MESSAGE = re.compile(r'with message "(.*?)"(?:\. See http|\.?\s*$)', re.S)


def in_short(text: str) -> str:
    """Return a container's message cut to one line: nothing from a stack trace on, nor beyond LONGEST characters."""
    text = _said(text).partition("Traceback (most recent call last)")[0]
    if text.lstrip().lower().startswith("<!doctype html"):  # AWS's scikit-learn image: a page, whatever went wrong
        text = f"{re.sub(r'<[^>]*>', ' ', text)} (what the script raised stands in the container's log)"
    text = re.split(r'\s*\n?\s*File "[^"\n]*", line \d+', text, maxsplit=1)[0]
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _said(text: str) -> str:
    """Return the message in a container's JSON error, or the text as it is."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(told, dict):
        told = told.get("error", told.get("message", told.get("detail")))
    if isinstance(told, dict):
        told = told.get("message")
    return told if isinstance(told, str) else text


def by_status(status: int, text: str) -> RequestError:
    """Return the error for a container that answered with a status; 0: it did not answer in its time."""
    said = in_short(text)
    told = f": {said}" if said else "; its log says more"
    if status in (0, 504) or (status >= 500 and "timed out" in text.lower()):
        return ModelTimeout(f"the model did not answer in time{told}", model_status=status)
    if 400 <= status < 500:
        return ModelRefused(f"the model refused the request{told}", model_status=status)
    return ModelFailed(f"the model failed{told}", model_status=status)


def by_failure_file(text: str) -> RequestError:
    """Return the error for what SageMaker wrote beside an asynchronous request that failed."""
    found = _RECEIVED.search(text)
    if found is None and _EXPIRED.search(text):
        return RequestExpired(f"nobody answered the request in time: {in_short(text)}")
    if found is None:
        return ModelFailed(f"the model failed: {in_short(text)}" if text.strip() else "the model failed")
    message = _MESSAGE.search(text)
    return by_status(int(found[1]), message[1] if message else text)
