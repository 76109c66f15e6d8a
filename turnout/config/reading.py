"""From YAML to specs: every problem of every model is gathered before anything is refused."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from handlers.contract.modes import ServingMode
from turnout.config import document, legality
from turnout.config.complaints import Step, closest, complaint
from turnout.config.document import Node
from turnout.config.legality import Finding
from turnout.config.problems import ConfigError, Problem, quote
from turnout.config.samples import unproved
from turnout.config.shape import members
from turnout.config.specs import Config, ModelSpec, PlatformSpec, SchemaSpec

SCHEMA_FILE = "schema.yaml"
CODE_ROOT = "model_code"

Section = TypeVar("Section", bound=BaseModel)

#: Stand in for required keys that are missing, so that the rest of an entry can be checked all the same.
_STAND_INS: dict[str, Any] = {"mode": ServingMode.REALTIME.value, "key": {"column": "the key"}, "features": {"-": {}}}


def load(path: Path, *, root: Path | None = None, text: str | None = None) -> Config:
    """Return the configuration in a file. Raises ConfigError that holds everything that is wrong with it.

    `text` stands for what the file is going to hold, if it is not to be read.

    Code folders are looked for under `root`; by default that is the nearest folder, from the file's own
    upwards, that holds `model_code/`, or else the file's own.
    """
    path = Path(path)
    root = Path(root) if root is not None else _find_root(path)
    reader = _Reader(path, root, text)
    models, platform = reader.read()
    problems = sorted(reader.problems, key=lambda problem: (problem.file != reader.shown, problem.file, problem.line))
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return Config(path=path, root=root, models=models, platform=platform, warnings=tuple(problems))


def artifact_problems(config: Config) -> list[Problem]:
    """Return what keeps models from being packed: code folders without inference.py or without a trained artifact."""
    problems = []
    for name, spec in config.models.items():
        if spec.code is None:
            continue
        shown = _relative(spec.code, config.root)
        if not (spec.code / "inference.py").is_file():
            remedy = "Write it: model_fn, input_fn, predict_fn and output_fn, as SageMaker's containers call them."
            problems.append(_of(config, name, f"{shown}/inference.py is missing", remedy))
        if not any(file.is_file() for file in (spec.code / "artifact").glob("**/*")):
            remedy = f"Run `python {shown}/train.py`."
            problems.append(_of(config, name, f"{shown}/artifact is missing or empty", remedy))
    return problems


def _of(config: Config, model: str, reason: str, remedy: str) -> Problem:
    shown = _shown(config.path)
    tree, _ = document.read(config.path, shown)
    line = tree.place(("models", model))[1] if tree else 1
    return Problem(shown, line, model, None, reason, remedy)


def _find_root(path: Path) -> Path:
    parents = path.absolute().parents
    return next((parent for parent in parents if (parent / CODE_ROOT).is_dir()), parents[0])


def _shown(path: Path) -> str:
    """Return a path as messages name it: relative to the working directory where it lies below."""
    return _relative(path.absolute(), Path.cwd())


def _relative(path: Path, base: Path) -> str:
    absolute, base = path.absolute(), base.absolute()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else path.as_posix()


@dataclass(frozen=True)
class _Subject:
    """A mapping under examination: its tree, the model that it belongs to, and what to call its keys."""

    node: Node
    model: str | None = None
    prefix: tuple[str, ...] = ()

    def problem(self, path: tuple[Step, ...], finding: Finding) -> Problem:
        file, line = self.node.place(path)
        # What schema.yaml calls `prediction` is merged into the entry as output.prediction.
        path = path[1:] if file != self.node.file and path[:1] == ("output",) else path
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*self.prefix, *path))
        key = key.removeprefix(".") or None
        return Problem(file, line, self.model, key, finding.reason, finding.remedy, finding.severity, finding.link)


class _Reader:
    """Reads one file; `problems` grows on the way."""

    def __init__(self, path: Path, root: Path, text: str | None = None) -> None:
        self.path = path
        self.text = text
        self.root = root
        self.shown = _shown(path)
        self.problems: list[Problem] = []

    def read(self) -> tuple[dict[str, ModelSpec], PlatformSpec]:
        """Return what could be read. Raises ConfigError where the file is not YAML at all."""
        given = self.text is not None
        tree, problems = document.parse(self.text, self.shown) if given else document.read(self.path, self.shown)
        if tree is None:
            raise ConfigError(problems)
        self.problems += [_name_model(problem, tree.get("models")) for problem in problems]
        entries = self._entries(tree)
        models = {name: self._model(name, entry) for name, entry in entries.items()}
        whole = {name: spec for name, spec in models.items() if spec is not None}
        self._report(_Subject(tree), legality.check_fleet(whole), [])
        return whole, self._platform(tree)

    def _entries(self, tree: Node) -> dict[str, Node]:
        """Return the entries under `models:`, each at the line of its name."""
        whole = _Subject(tree)
        begin = "Start with `models:` and below it one entry per model."
        if not isinstance(tree.value, dict):
            self._add(whole, (), "the file holds no settings", begin)
            return {}
        for key in tree.value:
            if key not in ("models", "platform"):
                self._add(whole, (key,), f"{quote(key)} is not a section", closest(key, ["models", "platform"]))
        models = tree.get("models")
        if models is None or not isinstance(models.value, dict) or not models.value:
            self._add(whole, ("models",), "there are no models", begin)
            return {}
        lines = models.key_lines
        return {name: with_changes(entry, line=lines[name]) for name, entry in models.value.items()}

    def _platform(self, tree: Node) -> PlatformSpec:
        node = tree.get("platform")
        if node is None or node.value is None:
            return PlatformSpec()
        subject = _Subject(node, prefix=("platform",))
        spec, reported = self._validate(PlatformSpec, subject, node.plain())
        if spec is not None:
            self._report(subject, legality.check_platform(spec), reported)
        return spec or PlatformSpec()

    def _model(self, name: str, entry: Node) -> ModelSpec | None:
        """Return a model's specification, or None where its entry is too broken to make one."""
        if not isinstance(entry.value, dict | None):
            what = f"the entry is {quote(entry.plain())}, not a mapping of settings"
            self._add(_Subject(entry, name), (), what, "Write `mode:` and what else is needed below the name.")
            return None
        own = dict(entry.value or {})
        folder, reported = self._code_folder(name, _Subject(entry, name))
        subject = _Subject(self._with_schema(entry, own, folder, name), name)
        self._report(subject, legality.check_name(name), [])
        raw = subject.node.plain()
        if "name" in raw:
            self._add(subject, ("name",), "a model's name is the key above its settings", "Remove this line.")
        spec, found = self._validate(ModelSpec, subject, {**raw, "name": name}, _STAND_INS, reported)
        if spec is None:
            return None
        self._report(subject, legality.check_model(spec), [*reported, *found])
        spec = self._placed(spec, folder, subject)
        warnings = [Finding((), reason, remedy, None, "warning") for reason, remedy in unproved(spec)]
        self._report(subject, warnings, [])
        return spec

    def _placed(self, spec: ModelSpec, folder: Path, subject: _Subject) -> ModelSpec:
        """Return the specification with the places of its files; one of samples that is not there is reported."""
        if spec.artifact is None:
            return spec.model_copy(update={"code": folder})
        if spec.samples is None:
            return spec
        path = self.root / spec.samples
        if not os.path.isfile(path):
            remedy = "Correct the path, which starts at the folder that holds `model_code/`, or write the file."
            self._add(subject, ("samples",), f"there is no file {quote(str(spec.samples))}", remedy)
        return spec.model_copy(update={"samples": path})

    def _code_folder(self, name: str, subject: _Subject) -> tuple[Path, list[tuple[Step, ...]]]:
        """Return where a model's code lies. If it lies nowhere, reports that and returns what follows from it."""
        said = subject.node.get("code")
        shown = said.value if said and isinstance(said.value, str) else f"{CODE_ROOT}/{name}"
        folder = self.root / shown
        # os.path, unlike Path, answers False to names that no file system takes: too long, or with a NUL.
        if subject.node.get("artifact") or os.path.isdir(folder):
            return folder, []
        remedy = f"Create it with inference.py and {SCHEMA_FILE}, correct the name, or give `artifact`."
        self._add(subject, ("code",), f"there is no folder {quote(shown)}", remedy)
        return folder, [("code",), ("key",), ("features",)]

    def _with_schema(self, entry: Node, own: dict[str, Node], folder: Path, name: str) -> Node:
        """Return the entry, completed by the schema file where the entry is silent."""
        whole = with_changes(entry, value=own, key_lines=dict(entry.key_lines))
        path = folder / SCHEMA_FILE
        if not os.path.isfile(path):
            return whole
        shown = _relative(path, self.path.absolute().parent) if self.shown == self.path.name else _shown(path)
        schema, problems = document.read(path, shown)
        self.problems += [with_changes(problem, model=name) for problem in problems]
        if schema is None or schema.value is None:
            return whole
        self._check_schema(_Subject(schema, name))
        for key in ("key", "features"):
            if (said := schema.get(key)) is not None and key not in own:
                own[key], whole.key_lines[key] = said, schema.key_lines[key]
        self._take_prediction(schema, whole)
        return whole

    def _check_schema(self, subject: _Subject) -> None:
        if not isinstance(subject.node.value, dict):
            self._add(subject, (), "the file holds no settings", "Write `key:` and `features:`.")
            return
        known = list(members(SchemaSpec))
        for key in subject.node.value:
            if key not in known:
                self._add(subject, (key,), f"{quote(key)} is not a setting of a schema file", closest(key, known))

    def _take_prediction(self, schema: Node, whole: Node) -> None:
        said, output = schema.get("prediction"), whole.get("output") or Node({}, schema.file, schema.line)
        if said is None or not isinstance(output.value, dict) or "prediction" in output.value:
            return
        lines = {**output.key_lines, "prediction": schema.key_lines["prediction"]}
        whole.value["output"] = with_changes(output, value={**output.value, "prediction": said}, key_lines=lines)

    def _validate(
        self,
        section: type[Section],
        subject: _Subject,
        raw: Any,
        stand_ins: dict[str, Any] | None = None,
        known: Iterable[tuple[Step, ...]] = (),
    ) -> tuple[Section | None, list[tuple[Step, ...]]]:
        """Return the section, made from what is usable, and the paths of all that was reported as unusable.

        What is wrong is cut out and the rest is tried again, so that one wrong key hides no other problem.
        """
        reported = list(known)
        for _ in range(5):
            try:
                return section.model_validate(raw), reported
            except ValidationError as error:
                errors = error.errors(include_url=False)
            for each in errors:
                said = complaint(section, each)
                if not _touches(said.path, reported):
                    found = Finding(said.path, said.reason, said.remedy, said.link)
                    self.problems.append(subject.problem(said.path, found))
                    reported.append(said.path)
            if not isinstance(raw, dict):
                break
            for each in errors:
                _cut(raw, each["loc"])
            raw = {**(stand_ins or {}), **raw}
        return None, reported

    def _report(self, subject: _Subject, findings: Iterable[Finding], reported: list[tuple[Step, ...]]) -> None:
        for finding in findings:
            if not _touches(finding.path, reported):
                self.problems.append(subject.problem(finding.path, finding))

    def _add(self, subject: _Subject, path: tuple[Step, ...], reason: str, remedy: str) -> None:
        self.problems.append(subject.problem(path, Finding(path, reason, remedy)))


def _touches(path: tuple[Step, ...], reported: Iterable[tuple[Step, ...]]) -> bool:
    """Say whether a path lies at, below or above one that has been reported."""
    return bool(path) and any(path[: len(other)] == other or other[: len(path)] == path for other in reported)


def _cut(raw: Any, path: tuple[Step, ...]) -> None:
    """Remove the value at `path`, or the deepest part of the path that exists."""
    parents: list[tuple[Any, Step]] = []
    here = raw
    for step in path:
        if not isinstance(here, dict) or step not in here:
            break
        parents.append((here, step))
        here = here[step]
    if parents:
        mapping, step = parents[-1]
        del mapping[step]


def _name_model(problem: Problem, entries: Node | None) -> Problem:
    """Return a problem of the YAML itself together with the model in whose lines it lies."""
    lines = sorted((line, name) for name, line in entries.key_lines.items()) if entries else []
    inside = [name for line, name in lines if line < problem.line]
    return with_changes(problem, model=inside[-1]) if inside else problem
