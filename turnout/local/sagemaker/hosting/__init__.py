"""Endpoints: real processes behind SageMaker's API.

kinds.py         what kind an endpoint is, and what AWS refuses to make of it (pure)
api.py           operations on endpoint configurations and endpoints (control plane)
endpoints.py     what happens to an endpoint over time: creating, updating blue/green, scaling, deleting
deployment.py    how traffic moves from one fleet to the next (pure)
fleet.py         the processes behind one configuration, leased to requests
requests.py      requests to the runtime, checked by its service model
invocations.py   InvokeEndpoint and InvokeEndpointWithResponseStream (data plane)
streaming.py     event streams (pure)
queueing.py      InvokeEndpointAsync: queue, results in S3, notifications (data plane)
capture.py       data capture
metering.py      CloudWatch metrics, with AWS's names, dimensions and units
usage.py         what the processes use of this machine
"""
