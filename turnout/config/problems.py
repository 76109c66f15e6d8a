"""What is wrong with a configuration, in the terms of the file that the user wrote."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


def quote(value: Any) -> str:
    """Return a value as a message shows it: quoted if text, shortened if long, on one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `line` counts from 1; `model` and `key` are None where a problem concerns the whole file."""

    file: str
    line: int
    model: str | None
    key: str | None
    reason: str
    remedy: str
    severity: Literal["error", "warning"] = "error"
    link: str | None = None

    def __str__(self) -> str:
        """Return the block that a user sees: place and reason, then source and remedy, indented."""
        place = [f"model {self.model!r}"] if self.model is not None else []
        place += [f"key {self.key!r}"] if self.key is not None else []
        head = f"{self.file}:{self.line}: "
        head += "warning: " if self.severity == "warning" else ""
        head += f"{', '.join(place)}: " if place else ""
        lines = [f"{head}{self.reason}.", f"    {self.remedy}"]
        if self.link:
            lines.append(f"    See {self.link}")
        return "\n".join(lines)

    def to_body(self) -> dict[str, Any]:
        """Return the problem as a JSON object."""
        return asdict(self)


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` holds everything found, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
