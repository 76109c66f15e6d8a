"""A SageMaker that runs models: control plane, data plane and container, each on its own.

api.py            operations on models and transform jobs (control plane)
validation.py     requests against botocore's service model
jobs.py           runs one transform job (data plane, with I/O)
transform/        what Batch Transform does to bytes (data plane, pure)
hosting/          endpoints: control plane, processes, requests, queues
container.py      one model server process behind the container contract
cloudformation.py, stepfunctions.py, service.py   the ways in
"""
