"""The local cloud as a process: start, stop, crash, two at once, state over a restart."""

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.integration.local.actions import (
    ROLE,
    STAND_IN,
    bucket,
    client_factory,
    csv_job,
    function,
    put,
    random_name,
    stand_in_model,
    wait_until,
)
from tests.integration.local.endpoint_actions import ask, endpoint, endpoint_config, settled
from turnout.local import control

pytestmark = pytest.mark.local_only("it is about the local cloud's own process")


@pytest.fixture
def started(monkeypatch):
    """A function that starts a cloud; all of them are stopped at the end."""
    monkeypatch.setenv("TURNOUT_MODEL_SERVER", str(STAND_IN))
    folders = []

    def start(folder, **options):
        folders.append(folder)
        return control.up(folder, **options)

    yield start
    for folder in folders:
        control.down(folder)


def processes_of(folder) -> list[str]:
    return [command for _, command in control._processes() if str(folder) in command and "pytest" not in command]


def test_up_twice_is_the_same_cloud_and_down_leaves_nothing(started, tmp_path):
    cloud = started(tmp_path)
    assert started(tmp_path) == cloud
    assert control.status(tmp_path) == cloud
    assert control.down(tmp_path) is True
    assert control.down(tmp_path) is False
    assert control.status(tmp_path) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "logs", "s3", "state"]
    assert processes_of(tmp_path) == []


def test_it_listens_on_loopback_only(started, tmp_path):
    cloud = started(tmp_path)
    connections = psutil.Process(cloud.pid).net_connections()
    own = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    assert own == [("127.0.0.1", cloud.port)]


def test_two_clouds_run_side_by_side(started, tmp_path):
    first, second = (client_factory(started(tmp_path / name))("s3") for name in ("first", "second"))
    first.create_bucket(Bucket="only-in-the-first")
    assert [b["Name"] for b in first.list_buckets()["Buckets"]] == ["only-in-the-first"]
    assert second.list_buckets()["Buckets"] == []


def test_a_taken_port_is_said_with_the_log_to_read(started, tmp_path):
    cloud = started(tmp_path / "first")
    with pytest.raises(control.LocalCloudError, match=rf"port {cloud.port} on 127.0.0.1 is not free.*local\.log"):
        started(tmp_path / "second", port=cloud.port)


def busy(client, folder) -> None:
    """Have an endpoint in service, a transform job under way and a warm function."""
    client("lambda").invoke(FunctionName=function(client, "def handler(event, context): return 1"))
    data = bucket(client)
    endpoint(client, endpoint_config(client, stand_in_model(client, data)))
    put(client, data, in__a_csv="1,1,1\n")
    client("sagemaker").create_transform_job(**csv_job(data, stand_in_model(client, data, slow=60)))
    log = folder / "logs" / "transform"
    wait_until(lambda: any("POST" in file.read_text() for file in log.glob("*.log")))


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def listening(processes: list[psutil.Process]) -> set[int]:
    """Return the ports that processes listen on."""
    found = [c for process in processes for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    return {connection.laddr.port for connection in found}


@pytest.mark.parametrize("guards_too", [False, True], ids=["the emulator", "the emulator and every guard"])
def test_nothing_outlives_a_kill(started, tmp_path, guards_too):
    cloud = started(tmp_path)
    busy(client_factory(cloud), tmp_path)
    server = psutil.Process(cloud.pid)
    children = server.children(recursive=True)
    guards = [child for child in children if "guard.py" in " ".join(child.cmdline())]
    ports, scratch = listening(children), set((tmp_path / "tmp").rglob("*"))
    assert len(children) >= 5  # the function's environment, and for job and endpoint a guard and a model server each
    assert len(ports) >= 2
    assert scratch
    for process in [server, *guards] if guards_too else [server]:
        process.kill()
    again = started(tmp_path)
    assert again.pid != cloud.pid
    wait_until(lambda: not running(children))
    assert not {path for path in scratch if path.exists()} - {tmp_path / "tmp" / "jobs"}
    assert all(free(port) for port in ports - {again.port})
    assert client_factory(again)("s3").list_buckets()["Buckets"] == []


def free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_killed_guard_takes_its_container_along_and_another_comes_up(started, tmp_path):
    cloud = started(tmp_path)
    client = client_factory(cloud)
    name = endpoint(client, endpoint_config(client, stand_in_model(client, bucket(client))))
    (guard,) = [c for c in psutil.Process(cloud.pid).children() if "guard.py" in " ".join(c.cmdline())]
    ended = [guard, *guard.children(recursive=True)]
    assert len(ended) == 2
    guard.kill()
    wait_until(lambda: not running(ended))
    assert started(tmp_path) == cloud
    wait_until(lambda: _answers(client, name))


def _answers(client, name: str) -> bool:
    try:
        return ask(client, name) == "3.0"
    except ClientError:
        return False


def test_going_down_ends_a_running_job_quickly(started, tmp_path):
    client = client_factory(started(tmp_path))
    data = bucket(client)
    put(client, data, in__a_csv="1,1,1\n")
    client("sagemaker").create_transform_job(**csv_job(data, stand_in_model(client, data, slow=60)))
    log = tmp_path / "logs" / "transform"
    wait_until(lambda: any("POST" in file.read_text() for file in log.glob("*.log")))
    began = time.monotonic()
    control.down(tmp_path)
    assert time.monotonic() - began < 8
    assert processes_of(tmp_path) == []


def test_two_ups_at_once_start_one_cloud(started, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: started(tmp_path), range(2))
    assert first == second


def test_state_is_kept_when_asked_for_and_a_kill_leaves_what_was_saved(started, tmp_path):
    client = client_factory(started(tmp_path, persist=True))
    data = bucket(client)
    model = stand_in_model(client, data)
    control.down(tmp_path)
    for kill in (True, False):
        cloud = started(tmp_path, persist=True)
        client = client_factory(cloud)
        assert client("sagemaker").describe_model(ModelName=model)["ModelName"] == model
        assert client("s3").list_objects_v2(Bucket=data)["KeyCount"] == 1
        if kill:
            process = psutil.Process(cloud.pid)
            process.kill()
            process.wait(timeout=10)  # until then `up` finds a cloud that still answers


def test_an_endpoint_is_back_with_its_capacity_and_scaling_after_a_restart(started, tmp_path):
    client = client_factory(started(tmp_path, persist=True))
    name = endpoint(client, endpoint_config(client, stand_in_model(client, bucket(client)), count=3))
    resource = {"ResourceId": f"endpoint/{name}/variant/AllTraffic", "ServiceNamespace": "sagemaker"}
    client("application-autoscaling").register_scalable_target(
        **resource, ScalableDimension="sagemaker:variant:DesiredInstanceCount", MinCapacity=2, MaxCapacity=5
    )
    sagemaker = client("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    sagemaker.delete_model(ModelName=variant["ModelName"])  # an endpoint keeps copies of both
    sagemaker.delete_endpoint_config(EndpointConfigName=config)
    control.down(tmp_path)
    client = client_factory(started(tmp_path, persist=True))
    described = settled(client, name)
    assert (described["EndpointStatus"], described["ProductionVariants"][0]["DesiredInstanceCount"]) == ("InService", 3)
    assert ask(client, name) == "3.0"
    targets = client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    assert [t["MaxCapacity"] for t in targets["ScalableTargets"]] == [5]


def test_going_down_ends_endpoints_that_are_up_and_that_are_coming_up(started, tmp_path):
    cloud = started(tmp_path)
    client = client_factory(cloud)
    data = bucket(client)
    endpoint(client, endpoint_config(client, stand_in_model(client, data, slow=5)))
    control.set_faults(cloud, endpoint_starts="never")
    config = endpoint_config(client, stand_in_model(client, data))
    client("sagemaker").create_endpoint(EndpointName="never", EndpointConfigName=config)
    children = psutil.Process(cloud.pid).children(recursive=True)
    assert children
    control.down(tmp_path)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_stack_can_be_updated_after_a_restart(started, tmp_path):
    def template(url):
        container = {"Image": "example.com/any:1", "ModelDataUrl": url}
        properties = {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}
        return json.dumps({"Resources": {"Model": {"Type": "AWS::SageMaker::Model", "Properties": properties}}})

    client = client_factory(started(tmp_path, persist=True))
    client("cloudformation").create_stack(StackName="kept", TemplateBody=template("s3://b/one.tar.gz"))
    client("cloudformation").get_waiter("stack_create_complete").wait(StackName="kept", WaiterConfig={"Delay": 1})
    control.down(tmp_path)
    client = client_factory(started(tmp_path, persist=True))
    client("cloudformation").update_stack(StackName="kept", TemplateBody=template("s3://b/two.tar.gz"))
    client("cloudformation").get_waiter("stack_update_complete").wait(StackName="kept", WaiterConfig={"Delay": 1})
    (model,) = client("sagemaker").list_models()["Models"]
    url = client("sagemaker").describe_model(ModelName=model["ModelName"])["PrimaryContainer"]["ModelDataUrl"]
    assert url == "s3://b/two.tar.gz"


def test_reset_forgets_everything_and_keeps_the_process(started, tmp_path):
    cloud = started(tmp_path)
    client = client_factory(cloud)
    stand_in_model(client, bucket(client))
    control.reset(cloud)
    assert client("sagemaker").list_models()["Models"] == []
    assert client("s3").list_buckets()["Buckets"] == []
    assert control.status(tmp_path) == cloud


def test_localstack_client_finds_it(started, tmp_path, monkeypatch):
    for name, value in control.environ(started(tmp_path)).items():
        monkeypatch.setenv(name, value)
    code = "import localstack_client.session as s; c = s.Session(); c.client('s3').create_bucket(Bucket='hello')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert client_factory(control.status(tmp_path))("s3").head_bucket(Bucket="hello")


def test_status_tells_what_is_ignored(stand_in_cloud):
    answer = control.describe(stand_in_cloud)
    assert answer["pid"] == stand_in_cloud.pid
    assert any("at most 8 real processes per variant" in sentence for sentence in answer["ignored"])


def test_status_counts_what_there_is_and_names_versions(stand_in_cloud, client):
    before = control.describe(stand_in_cloud)["counts"]
    stand_in_model(client, bucket(client))
    client("lambda").invoke(FunctionName=function(client, "def handler(event, context): return 1"))
    told = control.describe(stand_in_cloud)
    assert told["counts"]["models"] == before["models"] + 1
    assert told["counts"]["functions"] == before["functions"] + 1
    assert told["counts"]["function_environments"] > 0
    assert set(told["counts"]) >= {"stacks", "endpoints", "transform_jobs_under_way"}
    assert told["versions"]["ministack"] == "1.5.33"
    assert set(told["versions"]) == {"turnout", "python", "ministack", "boto3"}


def test_status_tells_what_goes_wrong_on_purpose_and_how_fast_time_passes(stand_in_cloud):
    assert control.describe(stand_in_cloud)["time_scale"] == 60
    held = control.set_faults(stand_in_cloud, async_deliveries=3, throttled_table="t", throttled_seconds=60)
    try:
        told = control.describe(stand_in_cloud)
        assert (held["async_deliveries"], told["async_deliveries"]) == (3, 3)
        assert 50 < told["throttled_tables"]["t"] <= 60
        with pytest.raises(control.LocalCloudError, match="time_scale must be between"):
            control.set_faults(stand_in_cloud, time_scale=0.1)
    finally:
        control.set_faults(stand_in_cloud)
    assert control.describe(stand_in_cloud)["async_deliveries"] == 1
    assert control.describe(stand_in_cloud)["throttled_tables"] == {}


def test_a_throttled_table_refuses_writes_for_a_while(stand_in_cloud, client):
    dynamodb, name = client("dynamodb"), random_name("table")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    item = {"pk": {"S": "a"}}
    control.set_faults(stand_in_cloud, throttled_table=name, throttled_seconds=3)
    impatient = boto3.client(
        "dynamodb",
        endpoint_url=stand_in_cloud.endpoint,
        region_name=control.REGION,
        aws_access_key_id=control.ACCOUNT,
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    for write in (
        lambda: impatient.put_item(TableName=name, Item=item),
        lambda: impatient.batch_write_item(RequestItems={name: [{"PutRequest": {"Item": item}}]}),
        lambda: impatient.transact_write_items(TransactItems=[{"Put": {"TableName": name, "Item": item}}]),
    ):
        with pytest.raises(ClientError) as caught:
            write()
        assert caught.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
    assert "Item" not in impatient.get_item(TableName=name, Key=item)
    dynamodb.put_item(TableName=name, Item=item)  # boto3's retries outlast it
    assert impatient.get_item(TableName=name, Key=item)["Item"] == item


def test_a_cloud_that_is_not_there_says_how_to_start_it(tmp_path):
    with pytest.raises(control.LocalCloudError, match="turnout local up"):
        control.require(tmp_path)
