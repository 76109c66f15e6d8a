"""A model for tests of limits: a third of its feature, after as long and with as long an answer as the row asks for."""

import csv
import json
import time

#: What stands for a row without `x`.
NOTHING = 1.0


def model_fn(model_dir):
    return {"divisor": 3.0}


def input_fn(body, content_type):
    text = body if isinstance(body, str) else body.decode()
    csv.field_size_limit(2**25)
    return [_row(*fields) for fields in csv.reader(text.splitlines())]


def _row(x, seconds, letters, note):
    return {"x": float(x or NOTHING), "seconds": float(seconds or 0), "letters": int(letters or 0)}


def predict_fn(rows, model):
    time.sleep(max(row["seconds"] for row in rows))
    return [row["letters"] * "z" if row["letters"] else row["x"] / model["divisor"] for row in rows]


def output_fn(prediction, accept):
    if accept == "application/json":
        return json.dumps(prediction), accept
    return "".join(f"{value}\n" for value in prediction), accept
