"""The local cloud: an embedded AWS emulator whose SageMaker really runs the model.

control.py     starts, stops and asks the cloud; what the command line uses
server.py      the process: one port on 127.0.0.1, one state directory
emulator.py    the one module that knows ministack's inside
sagemaker/     control plane (api), data plane (transform, jobs), container (container): none of them imports ministack
"""
