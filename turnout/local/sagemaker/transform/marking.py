"""GenerateInferenceId of a job's DataCaptureConfig: each record of the result gets an id and the job's start time."""

import time
import uuid
from dataclasses import dataclass

from turnout.local.sagemaker.transform.formats import CSV, OUTPUT, dumps, loads, media_type

INFERENCE_ID, INFERENCE_TIME = "SageMakerInferenceId", "SageMakerInferenceTime"


@dataclass(frozen=True)
class Marker:
    """`started` is the job's start, UTC, as it is written."""

    csv: bool
    started: str

    def mark(self, lines: list[str]) -> list[str]:
        """Return the records with an id and the time: two more columns of CSV, two more names of JSON."""
        if self.csv:
            return [f"{line},{uuid.uuid4()},{self.started}" for line in lines]
        return [dumps(self._marked(loads(line, "prediction"))) for line in lines]

    def _marked(self, value: object) -> dict:
        named = value if isinstance(value, dict) else {OUTPUT: value}
        return {**named, INFERENCE_ID: str(uuid.uuid4()), INFERENCE_TIME: self.started}


def marker_for(request: dict) -> Marker | None:
    """Return the marker that a job asks for."""
    if not (request.get("DataCaptureConfig") or {}).get("GenerateInferenceId"):
        return None
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(request["TransformStartTime"]))
    return Marker(media_type(request["TransformOutput"].get("Accept")) == CSV, started)
