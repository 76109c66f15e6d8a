"""Clients that are not ours, unmodified: of the local cloud they know nothing but environment variables.

The session's cloud has put those variables into the environment (`turnout local env` prints the same ones).
"""

import io

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.integration.clients.models import ROWS, SCRIPT, archive
from tests.integration.local.actions import random_name


@pytest.fixture(scope="session")
def data(client) -> str:
    """A bucket with `in/rows.csv` in it."""
    name = random_name("clients")
    client("s3").create_bucket(Bucket=name)
    client("s3").put_object(Bucket=name, Key="in/rows.csv", Body=ROWS)
    return name


@pytest.fixture(scope="session")
def trained() -> bytes:
    """A pickled regression that doubles the first feature and adds the second."""
    rows = np.array([[0, 0], [1, 0], [0, 1], [2, 3]], dtype=float)
    out = io.BytesIO()
    joblib.dump(LinearRegression().fit(rows, rows @ [2, 1]), out)
    return out.getvalue()


@pytest.fixture(scope="session")
def model_data(client, data, trained) -> str:
    """The S3 URI of a model archive for AWS's scikit-learn image, its script inside."""
    body = archive({"model.joblib": trained, "code/inference.py": SCRIPT})
    client("s3").put_object(Bucket=data, Key="model.tar.gz", Body=body)
    return f"s3://{data}/model.tar.gz"
