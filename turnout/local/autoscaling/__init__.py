"""Application Auto Scaling for endpoints: targets, policies and scheduled actions that really change processes.

api.py              its operations (AnyScaleFrontendService)
registry.py         what is registered: targets, policies, scheduled actions, tags, activities
checks.py           what Application Auto Scaling refuses beyond a request's shape (pure)
alarms.py           the alarms that a target tracking policy has in CloudWatch (pure)
policies.py         what a policy wants, given metrics (pure)
scaler.py           looks at metrics and schedules once a second and changes capacities
cloudformation.py   ScalableTarget and ScalingPolicy
"""
