"""Application Auto Scaling for endpoints: targets, target tracking and step policies, evaluated on local metrics.

api.py              its operations (AnyScaleFrontendService)
policies.py         what a policy wants, given metrics (pure)
scaler.py           looks at the metrics once a second and changes capacities
cloudformation.py   ScalableTarget and ScalingPolicy
"""
