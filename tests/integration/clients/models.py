"""The model that every client deploys: a scikit-learn regression for AWS's own image."""

import io
import tarfile

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
ENVIRONMENT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
ROLE = "arn:aws:iam::000000000000:role/any"
SCRIPT = """
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
"""
ROWS = "1,2\n3,4\n"
PREDICTIONS = [4, 10]


def archive(files: dict[str, bytes | str]) -> bytes:
    """Return a model.tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return out.getvalue()


def numbers(text: str | bytes) -> list[float]:
    """Return the numbers of a CSV column."""
    return [float(line) for line in text.split()]
