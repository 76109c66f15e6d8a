"""Data capture of a job: manifests of what was read and written, for Model Monitor.

`DESTINATION/input/yyyy/mm/dd/hh/UUID.json` and the same under `output`, by the hour (UTC) in which the job started.
Each is a manifest as ManifestFile takes it. AWS documents all but the files' own names.
"""

import json
import time
import uuid
from collections.abc import Iterator

from turnout.local.sagemaker.transform.inputs import Inputs


def manifests(inputs: Inputs, output_path: str, started: float) -> Iterator[tuple[str, bytes]]:
    """Yield a path below the destination and what belongs there."""
    hour = time.strftime("%Y/%m/%d/%H", time.gmtime(started))
    read = [o.key.removeprefix(inputs.base) for o in inputs.objects]
    written = [f"{o.name}.out" for o in inputs.objects]
    for side, prefix, names in (
        ("input", f"s3://{inputs.bucket}/{inputs.base}", read),
        ("output", output_path.rstrip("/") + "/", written),
    ):
        yield f"{side}/{hour}/{uuid.uuid4()}.json", json.dumps([{"prefix": prefix}, *names]).encode()
