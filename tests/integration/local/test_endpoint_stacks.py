"""Endpoints and their scaling as CloudFormation makes, changes, replaces and removes them."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.integration.local.actions import ROLE, bucket, model_archive, random_name, wait_until
from tests.integration.local.endpoint_actions import ask
from turnout.local import control

pytestmark = pytest.mark.local_only("it is about how the local cloud deploys")


@pytest.fixture(scope="module")
def data(client) -> str:
    """A bucket with one artifact per behaviour."""
    name = bucket(client)
    for key, settings in (("one", {}), ("two", {"plus": 100}), ("bad", {"crash": "no such estimator"})):
        client("s3").put_object(Bucket=name, Key=f"{key}.tar.gz", Body=model_archive(**settings))
    return name


@pytest.fixture
def stack(client) -> Callable:
    """A function that creates or updates one stack from resources and returns its status at the end."""
    cloudformation, name = client("cloudformation"), random_name("stack")

    def deploy(resources: dict) -> str:
        exists = name in [s["StackName"] for s in cloudformation.describe_stacks()["Stacks"]]
        action = cloudformation.update_stack if exists else cloudformation.create_stack
        action(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
        return wait_until(lambda: status() if not status().endswith("_IN_PROGRESS") else None, 90)

    def status() -> str:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    def reasons() -> str:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return "\n".join(event.get("ResourceStatusReason", "") for event in events)

    deploy.name, deploy.status, deploy.reasons = name, status, reasons
    yield deploy
    cloudformation.delete_stack(StackName=name)
    wait_until(lambda: name not in [s["StackName"] for s in cloudformation.describe_stacks()["Stacks"]])


def resources(data: str, artifact: str, endpoint: str, count: str = "1", kind: str = "ml.m5.large", **more) -> dict:
    container = {"Image": "example.com/any:1", "ModelDataUrl": f"s3://{data}/{artifact}.tar.gz"}
    model = {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InstanceType": kind,
        "InitialInstanceCount": count,
        "InitialVariantWeight": "1.0",
    }
    config = {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
    return {
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": model},
        "Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {"ProductionVariants": [variant]}},
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {"EndpointName": endpoint, "EndpointConfigName": config, **more},
        },
    }


def scaling(endpoint: str, **more) -> dict:
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "MinCapacity": "1",
        "MaxCapacity": "4",
        **more,
    }
    policy = {
        "PolicyName": "invocations",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": {"Ref": "Target"},
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": "60",
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        },
    }
    return {
        "Target": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": target,
            "DependsOn": "Endpoint",
        },
        "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "Properties": policy},
    }


def test_an_endpoint_is_in_service_when_its_stack_is_complete_and_updated_in_place(client, stack, data):
    name, sagemaker = random_name("endpoint"), client("sagemaker")
    assert stack(resources(data, "one", name)) == "CREATE_COMPLETE"
    assert ask(client, name) == "3.0"
    first = sagemaker.describe_endpoint(EndpointName=name)
    assert stack(resources(data, "two", name)) == "UPDATE_COMPLETE"
    assert ask(client, name) == "103.0"
    second = sagemaker.describe_endpoint(EndpointName=name)
    assert second["CreationTime"] == first["CreationTime"]
    assert second["EndpointConfigName"] != first["EndpointConfigName"]
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.describe_endpoint_config(EndpointConfigName=first["EndpointConfigName"])


def test_a_bad_model_rolls_the_creation_back_with_the_reason(client, stack, data):
    name = random_name("endpoint")
    assert stack(resources(data, "bad", name)) == "ROLLBACK_COMPLETE"
    assert "did not pass the ping health check" in stack.reasons()
    assert "no such estimator" in stack.reasons()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        client("sagemaker").describe_endpoint(EndpointName=name)


def test_a_bad_model_rolls_an_update_back_and_the_old_one_serves(client, stack, data):
    name, sagemaker = random_name("endpoint"), client("sagemaker")
    stack(resources(data, "one", name))
    config = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    assert stack(resources(data, "bad", name)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "did not stabilize" in stack.reasons()
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == config
    assert ask(client, name) == "3.0"
    assert [c["EndpointConfigName"] for c in configs_of(client, stack)] == [config]
    assert stack(resources(data, "two", name)) == "UPDATE_COMPLETE"
    assert ask(client, name) == "103.0"


def configs_of(client, stack) -> list[dict]:
    return client("sagemaker").list_endpoint_configs(NameContains=stack.name)["EndpointConfigs"]


def test_another_name_makes_another_endpoint_before_the_old_one_goes(client, stack, data):
    old, new = random_name("endpoint"), random_name("endpoint")
    stack(resources(data, "one", old))
    assert stack(resources(data, "two", new)) == "UPDATE_COMPLETE"
    assert ask(client, new) == "103.0"
    with pytest.raises(ClientError, match="Could not find endpoint"):
        client("sagemaker").describe_endpoint(EndpointName=old)
    events = client("cloudformation").describe_stack_events(StackName=stack.name)["StackEvents"]
    assert len([e for e in events if e["LogicalResourceId"] == "Endpoint"]) > 2


def test_scaling_is_registered_blocks_another_instance_type_and_goes_with_the_endpoint(client, stack, data):
    name, autoscaling = random_name("endpoint"), client("application-autoscaling")
    assert stack(resources(data, "one", name) | scaling(name)) == "CREATE_COMPLETE", stack.reasons()
    ids = {"ServiceNamespace": "sagemaker", "ResourceIds": [f"endpoint/{name}/variant/AllTraffic"]}
    (target,) = autoscaling.describe_scalable_targets(**ids)["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    (policy,) = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=ids["ResourceIds"][0])[
        "ScalingPolicies"
    ]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60
    assert stack(resources(data, "two", name) | scaling(name, MaxCapacity="6")) == "UPDATE_COMPLETE"
    assert autoscaling.describe_scalable_targets(**ids)["ScalableTargets"][0]["MaxCapacity"] == 6
    changed = resources(data, "two", name, kind="ml.m5.xlarge") | scaling(name, MaxCapacity="6")
    assert stack(changed) == "UPDATE_ROLLBACK_COMPLETE"
    assert "registered as a scalable target" in stack.reasons()
    assert stack({"Only": {"Type": "AWS::SNS::Topic"}}) == "UPDATE_COMPLETE"
    assert autoscaling.describe_scalable_targets(**ids)["ScalableTargets"] == []
    assert client("sagemaker").list_endpoints(NameContains=name)["Endpoints"] == []


@pytest.mark.parametrize(("retain", "count"), [(True, 3), (False, 1)])
def test_an_update_keeps_the_scaled_count_only_when_told_to(client, stack, data, retain, count):
    name, sagemaker = random_name("endpoint"), client("sagemaker")
    stack(resources(data, "one", name))
    wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert stack(resources(data, "two", name, RetainAllVariantProperties=retain)) == "UPDATE_COMPLETE"
    (variant,) = sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variant["DesiredInstanceCount"] == count


def test_an_endpoint_deleted_by_hand_does_not_stop_its_removal(client, stack, data):
    name, sagemaker = random_name("endpoint"), client("sagemaker")
    stack(resources(data, "one", name) | {"Only": {"Type": "AWS::SNS::Topic"}})
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert stack({"Only": {"Type": "AWS::SNS::Topic"}}) == "UPDATE_COMPLETE"


def test_cloudformation_gives_up_on_an_endpoint_that_never_comes_up(client, stack, stand_in_cloud, data):
    name = random_name("endpoint")
    control.set_faults(stand_in_cloud, endpoint_starts="never", time_scale=3600)
    try:
        assert stack(resources(data, "one", name)) == "ROLLBACK_COMPLETE"
    finally:
        control.set_faults(stand_in_cloud, time_scale=60)
    assert "CloudFormation did not wait any longer" in stack.reasons()
    assert client("sagemaker").list_endpoints(NameContains=name)["Endpoints"] == []


def test_a_stack_that_changes_is_not_changed_by_another_deployment(client, stack, stand_in_cloud, data):
    name, cloudformation = random_name("endpoint"), client("cloudformation")
    assert stack({"Only": {"Type": "AWS::SNS::Topic"}}) == "CREATE_COMPLETE"
    control.set_faults(stand_in_cloud, endpoint_starts="never")
    try:
        cloudformation.update_stack(StackName=stack.name, TemplateBody=body(resources(data, "one", name)))
        request = {"StackName": stack.name, "ChangeSetName": "second", "TemplateBody": body({"Only": topic()})}
        for act in (
            lambda: cloudformation.create_change_set(**request),
            lambda: cloudformation.delete_stack(StackName=stack.name),
            lambda: cloudformation.update_stack(StackName=stack.name, TemplateBody=request["TemplateBody"]),
        ):
            with pytest.raises(ClientError, match="UPDATE_IN_PROGRESS"):
                act()
    finally:
        control.set_faults(stand_in_cloud)
    wait_until(lambda: stack.status() == "UPDATE_COMPLETE")
    assert ask(client, name) == "3.0"


def topic() -> dict:
    return {"Type": "AWS::SNS::Topic"}


def body(resources: dict) -> str:
    return json.dumps({"Resources": resources})


def test_only_the_first_of_two_change_sets_is_executed(client, stack, stand_in_cloud, data):
    name, cloudformation = random_name("endpoint"), client("cloudformation")
    stack({"Only": topic()})
    for change_set, template in (("first", resources(data, "one", name)), ("second", {"Only": topic(), "B": topic()})):
        cloudformation.create_change_set(StackName=stack.name, ChangeSetName=change_set, TemplateBody=body(template))
    control.set_faults(stand_in_cloud, endpoint_starts="never")
    try:
        cloudformation.execute_change_set(StackName=stack.name, ChangeSetName="first")
        with pytest.raises(ClientError):
            cloudformation.execute_change_set(StackName=stack.name, ChangeSetName="second")
    finally:
        control.set_faults(stand_in_cloud)
    wait_until(lambda: stack.status() == "UPDATE_COMPLETE")
    found = cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]
    assert {r["LogicalResourceId"] for r in found} == {"Model", "Config", "Endpoint"}


def test_what_is_removed_goes_after_all_updates_and_stays_when_one_fails(client, stack, data):
    old, new = random_name("endpoint"), random_name("endpoint")
    stack(resources(data, "one", old))
    failing = {name.replace("Model", "Model"): r for name, r in resources(data, "bad", new).items()}
    renamed = {"Topic": topic(), **{f"New{key}": value for key, value in renamed_refs(failing).items()}}
    assert stack(renamed) == "UPDATE_ROLLBACK_COMPLETE"
    assert ask(client, old) == "3.0"
    working = {f"New{key}": value for key, value in renamed_refs(resources(data, "two", new)).items()}
    assert stack(working) == "UPDATE_COMPLETE"
    assert ask(client, new) == "103.0"
    events = client("cloudformation").describe_stack_events(StackName=stack.name)["StackEvents"]
    assert events
    assert client("sagemaker").list_endpoints(NameContains=old)["Endpoints"] == []


def renamed_refs(found: dict) -> dict:
    text = json.dumps(found)
    for name in ("Model", "Config"):
        text = text.replace(f'["{name}",', f'["New{name}",')
    return json.loads(text)
