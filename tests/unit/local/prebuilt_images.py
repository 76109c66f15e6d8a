"""Starting and asking the stand-ins of AWS's prebuilt images."""

import importlib.util
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

from turnout.local.sagemaker.artifact import protect, remove
from turnout.local.sagemaker.container import Answer, Container
from turnout.local.sagemaker.containers import open_container

IMAGES = {
    "scikit-learn": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0",
    "xgboost": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
    "pytorch": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312",
    "huggingface": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-transformers5.5.3",
}
SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}


class Images:
    """Starts models below one folder; use as a context manager, which ends them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self.model_dir = folder, folder / "model"
        self._stack = ExitStack()
        self._stack.callback(remove, self.model_dir)

    def __enter__(self) -> "Images":
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def __call__(
        self,
        image: str,
        script: str | None = None,
        *,
        files: dict[str, bytes] | None = None,
        model: dict | None = None,
        **environment: str,
    ) -> Container:
        """Start a model of an image, from the text of its script and other files."""
        given = {"code/inference.py": dedent(script).encode()} if script is not None else {}
        for name, content in {**given, **(files or {})}.items():
            (self.model_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (self.model_dir / name).write_bytes(content)
        self.model_dir.mkdir(exist_ok=True)
        protect(self.model_dir)
        variables = {**(SCRIPT_MODE if script is not None else {}), **environment}
        definition = {"Image": IMAGES.get(image, image), "Environment": variables}
        record = {"ModelName": "model", "PrimaryContainer": definition, **(model or {})}
        container = open_container(record, self.model_dir, {}, self._folder / "log", start_seconds=30)
        return self._stack.enter_context(container)


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def ask(container: Container, body: bytes | str, content_type: str | None = None, accept: str | None = None) -> Answer:
    headers = {"Content-Type": content_type, "Accept": accept}
    body = body.encode() if isinstance(body, str) else body
    return container.send(body, {name: value for name, value in headers.items() if value}, 30)


def text(answer: Answer) -> str:
    return answer.body.decode()


def log_of(container: Container) -> str:
    return container.log_file.read_text()
