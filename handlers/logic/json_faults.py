"""Why a text could not be read as JSON, for whoever sent it: Python's own words name settings of the interpreter."""

import json


def in_words(error: Exception) -> str:
    """Return what is wrong with what `json.loads` refused, to stand behind its name: `is not JSON: ...`."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: no character begins at byte {error.start:,}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error}"
    return "has a number of too many digits"  # the only other thing that it refuses
