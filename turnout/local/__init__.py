"""The local cloud: an embedded AWS emulator whose SageMaker really runs the model.

control.py     starts, stops and asks the cloud; what the command line uses
server.py      the process: one port on 127.0.0.1, one state directory
emulator.py    the one module that knows ministack's inside
sagemaker/     control plane (api), data plane (transform, jobs, hosting), container (container)
autoscaling/   Application Auto Scaling for endpoints
faults.py      what goes wrong on purpose, and how fast AWS's waiting passes
Only emulator.py imports ministack.
"""
