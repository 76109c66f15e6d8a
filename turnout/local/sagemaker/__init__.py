"""A SageMaker that runs models: control plane, data plane and container, each on its own.

api.py            every operation by name; models, transform jobs and tags (control plane)
registry.py       model packages and their groups; models made of them (control plane)
listing.py, search.py   the List operations; Search (control plane)
validation.py     requests and answers by botocore's service model
store.py          the records of all that
jobs.py           runs one transform job (data plane, with I/O)
transform/        what Batch Transform does to bytes (data plane, pure)
hosting/          endpoints: control plane, processes, requests, queues
data_log.py       what SageMaker itself logs beside a container
container.py      one model server process behind the container contract
containers/       which program that is: for prebuilt images, own commands, own packages, pipelines
cloudformation.py, stepfunctions.py, service.py   the ways in
"""
