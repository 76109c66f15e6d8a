"""A model for tests: doubles its one feature, and breaks on 666 as a real model breaks on a row nobody expected."""

import json


def model_fn(model_dir):
    return {"factor": 2.0}


def input_fn(body, content_type):
    text = body if isinstance(body, str) else body.decode()
    return [float(line.split(",")[0]) for line in text.splitlines() if line]


def predict_fn(values, model):
    if 666.0 in values:
        raise ValueError("this model cannot stand 666")
    return [value * model["factor"] for value in values]


def output_fn(prediction, accept):
    if accept == "application/json":
        return json.dumps(prediction), accept
    return "\n".join(repr(value) for value in prediction) + "\n", accept
