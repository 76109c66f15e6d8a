"""Containers without Docker: what runs for a model's image, in which environment, under which limits.

open_container          the one way in: a container (or a pipeline of them) for a CreateModel record
images.py               which image is which, and whose own command runs instead
prepare.py              a model's own packages (a script, inside the container)
pipeline.py             several containers in a row
server/                 what stands in for AWS's prebuilt images (a script, inside the container)
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnout.local.sagemaker.artifact import BadArtifact, definitions, fetch, folder_of
from turnout.local.sagemaker.container import Container, ContainerFailed, server_path
from turnout.local.sagemaker.containers.images import filled_in, own_command, prebuilt
from turnout.local.sagemaker.containers.pipeline import Pipeline

PREPARE = Path(__file__).with_name("prepare.py")
SERVE_IMAGE = Path(__file__).parent / "server" / "serve_image.py"
#: Where a container on AWS finds its model and, when nobody says otherwise, Flask images their code.
AWS_MODEL_DIR = "/opt/ml/model"
FLASK_IMAGES = ("scikit-learn", "xgboost")


def open_container(
    model: Mapping[str, Any],
    model_dir: Path,
    environment: Mapping[str, str],
    log_file: Path,
    *,
    start_seconds: float = 120,
    memory_mb: int = 0,
) -> Container:
    """Return the container of a CreateModel record, not yet started; entering it raises ContainerFailed.

    `environment` is what SageMaker sets, over the variables of a model with one container. `memory_mb` limits what
    each container may hold; 0 leaves it to TURNOUT_LOCAL_MEMORY_MB, or there is no limit.
    """
    isolated = bool(model.get("EnableNetworkIsolation"))
    described = definitions(model)
    containers = []
    for number, definition in enumerate(described):
        merged = {**definition.get("Environment", {}), **environment}
        if isolated:
            merged = {name: value for name, value in merged.items() if not name.startswith("AWS_")}
        program = _Program(definition, folder_of(model_dir, number, len(described)), merged, isolated)
        limit = memory_mb or int(merged.get("TURNOUT_LOCAL_MEMORY_MB") or 0)
        containers.append(Container(program.model_dir, merged, log_file, start_seconds, program.command, limit))
    return containers[0] if len(containers) == 1 else Pipeline(containers, log_file)


class _Program:
    """The command of one container definition."""

    def __init__(
        self, definition: Mapping[str, Any], model_dir: Path, environment: Mapping[str, str], isolated: bool
    ) -> None:
        self._image, self.model_dir = definition.get("Image", ""), model_dir
        self._environment, self._isolated = environment, isolated

    def command(self, port: int) -> Sequence[str]:
        """Raises ContainerFailed."""
        if own := own_command(self._image, self._environment):
            return filled_in(own, self.model_dir, port)
        image = prebuilt(self._image, self._environment)
        if image is None:
            return self._interpreted(self.model_dir / "code", [str(server_path())])
        code = self._code_dir(image)
        return self._interpreted(code, [str(SERVE_IMAGE), image, str(code)])

    def _interpreted(self, code: Path, script: Sequence[str]) -> Sequence[str]:
        """Return the script under the model's interpreter, after its requirements if there are any."""
        interpreter = self._environment.get("TURNOUT_LOCAL_PYTHON") or sys.executable
        if shutil.which(interpreter) is None:
            raise ContainerFailed(f"TURNOUT_LOCAL_PYTHON: {interpreter} is not there or cannot be executed")
        if not (code / "requirements.txt").is_file():
            return [interpreter, *script]
        isolated = str(int(self._isolated))
        return [sys.executable, str(PREPARE), shutil.which(interpreter), str(code), isolated, *script]

    def _code_dir(self, image: str) -> Path:
        """Return the script's folder. Only the images that run Flask heed SAGEMAKER_SUBMIT_DIRECTORY."""
        inside = self.model_dir / "code"
        place = self._environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "") if image in FLASK_IMAGES else ""
        place = place.removeprefix("file://")
        if place.startswith("s3://"):
            return self._downloaded(place)
        if place == AWS_MODEL_DIR or place.startswith(f"{AWS_MODEL_DIR}/"):
            return self.model_dir / place[len(AWS_MODEL_DIR) + 1 :]
        return Path(place) if place else inside

    def _downloaded(self, uri: str) -> Path:
        if self._isolated:
            raise ContainerFailed(
                f"SAGEMAKER_SUBMIT_DIRECTORY={uri} cannot be downloaded: the model has network isolation. Put the "
                f"script under code/ in model.tar.gz and set SAGEMAKER_SUBMIT_DIRECTORY={AWS_MODEL_DIR}/code."
            )
        folder = Path(tempfile.mkdtemp(prefix="code-", dir=self.model_dir.parent)) / "code"
        try:
            fetch(self._s3(), uri, folder)
        except BadArtifact as error:
            raise ContainerFailed(f"SAGEMAKER_SUBMIT_DIRECTORY: {error}") from error
        return folder

    def _s3(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self._environment["AWS_ENDPOINT_URL"],
            region_name=self._environment["AWS_REGION"],
            aws_access_key_id=self._environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._environment["AWS_SECRET_ACCESS_KEY"],
        )
