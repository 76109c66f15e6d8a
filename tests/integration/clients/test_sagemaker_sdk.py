"""The SageMaker Python SDK v3 against the local cloud: resources, Transformer, ModelBuilder in all kinds."""

import importlib
import io
import json
import logging
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.integration.clients.models import ENVIRONMENT, IMAGE, PREDICTIONS, ROLE, ROWS, SCRIPT, archive, numbers
from tests.integration.local.actions import random_name, wait_until

pytestmark = [
    pytest.mark.local_only("on AWS each of these takes minutes and costs money"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the SDK's own, about itself
]

CSV = {"content_type": "text/csv", "accept": "application/json"}


@pytest.fixture(scope="module")
def sdk(cloud) -> Any:
    """The SDK, whose clients lead to the local cloud; boto3's default session stays as it was."""
    before = boto3.DEFAULT_SESSION
    module = importlib.import_module("tests.integration.clients.sdk")
    boto3.DEFAULT_SESSION = before
    return module


@pytest.fixture(scope="module")
def session(sdk) -> Any:
    return sdk.Session()


@pytest.fixture(scope="module")
def model(sdk, model_data) -> Any:
    return created_model(sdk, model_data)


def created_model(sdk, model_data: str, **settings: Any) -> Any:
    container = sdk.ContainerDefinition(image=IMAGE, model_data_url=model_data, environment=ENVIRONMENT)
    return sdk.Model.create(
        model_name=random_name("sdk"), execution_role_arn=ROLE, primary_container=container, **settings
    )


def transform_job(sdk, model: Any, source: str, out: str) -> Any:
    objects = sdk.TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=source)
    return sdk.TransformJob.create(
        transform_job_name=random_name("sdk"),
        model_name=model,
        transform_input=sdk.TransformInput(
            data_source=sdk.TransformDataSource(s3_data_source=objects), content_type="text/csv", split_type="Line"
        ),
        transform_output=sdk.TransformOutput(s3_output_path=out, accept="text/csv", assemble_with="Line"),
        transform_resources=sdk.TransformResources(instance_type="ml.m5.large", instance_count=1),
    )


def output(client, path: str) -> str:
    """Return what a job wrote for rows.csv."""
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    return client("s3").get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/rows.csv.out")["Body"].read().decode()


def invoked(endpoint: Any) -> list[float]:
    return json.loads(endpoint.invoke(body=ROWS, **CSV).body.read())


def test_a_transform_job_is_created_waited_for_with_its_log_found_and_refused(sdk, client, data, model, caplog):
    caplog.set_level(logging.INFO)
    job = transform_job(sdk, model, f"s3://{data}/in/", f"s3://{data}/sdk-job/")
    job.wait(poll=1, logs=True)
    assert job.transform_job_status == "Completed"
    assert "POST /invocations 200" in caplog.text
    assert numbers(output(client, f"s3://{data}/sdk-job/")) == pytest.approx(PREDICTIONS)
    (found,) = sdk.TransformJob.get_all(name_contains=job.transform_job_name, status_equals="Completed")
    assert found.transform_end_time == sdk.TransformJob.get(job.transform_job_name).transform_end_time
    nothing = transform_job(sdk, model, f"s3://{data}/nothing-here/", f"s3://{data}/sdk-nothing/")
    with pytest.raises(sdk.FailedStatusError, match="No S3 objects found"):
        nothing.wait(poll=1)


def test_a_model_is_found_and_deleted(sdk, model_data):
    created = created_model(sdk, model_data, tags=[{"key": "team", "value": "clients"}])
    name = created.model_name
    assert [found.model_arn for found in sdk.Model.get_all(name_contains=name)] == [created.model_arn]
    assert sdk.Model.get(name).primary_container.environment == ENVIRONMENT
    created.delete()
    with pytest.raises(ClientError, match="Could not find model"):
        created.refresh()


@pytest.fixture
def endpoint(sdk, model) -> Any:
    name = random_name("sdk")
    variant = sdk.ProductionVariant(
        variant_name="AllTraffic", model_name=model, initial_instance_count=1, instance_type="ml.m5.large"
    )
    sdk.EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
    created = sdk.Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    created.wait_for_status("InService", poll=1)
    yield created
    sdk.EndpointConfig.get(name).delete()


def test_an_endpoint_answers_at_once_and_in_parts_and_goes(sdk, endpoint):
    assert invoked(endpoint) == pytest.approx(PREDICTIONS)
    runtime = sdk.SageMakerClient().sagemaker_runtime_client
    name = endpoint.endpoint_name
    stream = runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=ROWS, ContentType="text/csv")["Body"]
    parts = b"".join(event["PayloadPart"]["Bytes"] for event in stream)
    assert json.loads(parts) == pytest.approx(PREDICTIONS)
    with pytest.raises(AttributeError, match="'EventStream' object has no attribute 'get'"):
        endpoint.invoke_with_response_stream(body=ROWS, **CSV)  # of SDK 3.27 itself: it fails on AWS's answer too
    (found,) = sdk.Endpoint.get_all(status_equals="InService", name_contains=name)
    assert found.endpoint_arn == endpoint.endpoint_arn
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)


def test_a_transformer_writes_to_the_default_bucket_prints_the_log_attaches_and_stops(
    sdk, client, session, data, model, caplog
):
    caplog.set_level(logging.INFO)
    settings = {"instance_count": 1, "instance_type": "ml.m5.large", "strategy": "MultiRecord"}
    transformer = sdk.Transformer(
        model.model_name, assemble_with="Line", accept="text/csv", sagemaker_session=session, **settings
    )
    transformer.transform(f"s3://{data}/in/", content_type="text/csv", split_type="Line", wait=True, logs=True)
    assert transformer.output_path.startswith("s3://sagemaker-us-east-1-000000000000/")
    assert numbers(output(client, transformer.output_path)) == pytest.approx(PREDICTIONS)
    assert "POST /invocations 200" in caplog.text
    name = transformer.latest_transform_job.transform_job_name
    assert sdk.Transformer.attach(name, sagemaker_session=session).output_path == transformer.output_path
    transformer.transform(f"s3://{data}/in/", content_type="text/csv", split_type="Line", wait=False, logs=False)
    transformer.stop_transform_job(wait=False)
    transformer.latest_transform_job.wait(poll=1)
    assert transformer.latest_transform_job.transform_job_status == "Stopped"


@pytest.fixture
def builder(sdk, client, session, data, trained, tmp_path) -> Any:
    """A builder that has packed the script of a local folder into the archive of a model and created the model."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/inference.py").write_text(SCRIPT)
    client("s3").put_object(Bucket=data, Key="bare/model.tar.gz", Body=archive({"model.joblib": trained}))
    made = sdk.ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=f"s3://{data}/bare/model.tar.gz",
        source_code=sdk.SourceCode(source_dir=str(tmp_path / "src"), entry_script="inference.py"),
        model_path=str(tmp_path / "model"),
        role_arn=ROLE,
        sagemaker_session=session,
        instance_type="ml.m5.large",
    )
    made.build()
    return made


def deployed(builder: Any, kind=None) -> Any:
    """Deploy and wait; the SDK's own waiting looks every thirty seconds only."""
    endpoint = builder.deploy(endpoint_name=random_name("built"), inference_config=kind, wait=False)
    endpoint.wait_for_status("InService", poll=1)
    return endpoint


def test_model_builder_deploys_in_real_time(builder):
    endpoint = deployed(builder)
    assert invoked(endpoint) == pytest.approx(PREDICTIONS)
    endpoint.delete()


def test_model_builder_deploys_serverless(sdk, builder):
    endpoint = deployed(builder, sdk.ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=2))
    assert endpoint.production_variants[0].current_serverless_config.memory_size_in_mb == 2048
    assert invoked(endpoint) == pytest.approx(PREDICTIONS)
    endpoint.delete()


def test_model_builder_deploys_for_asynchronous_requests(sdk, client, builder, data):
    places = {"output_path": f"s3://{data}/async-out/", "failure_path": f"s3://{data}/async-failed/"}
    endpoint = deployed(builder, sdk.AsyncInferenceConfig(**places))
    answer = endpoint.invoke_async(input_location=f"s3://{data}/in/rows.csv", **CSV)
    key = answer.output_location.removeprefix(f"s3://{data}/")
    s3 = client("s3")
    wait_until(lambda: s3.list_objects_v2(Bucket=data, Prefix=key).get("Contents"))
    assert json.load(s3.get_object(Bucket=data, Key=key)["Body"]) == pytest.approx(PREDICTIONS)
    endpoint.delete()


def test_model_builder_deploys_for_batch_transform(sdk, client, builder, data):
    places = sdk.BatchTransformInferenceConfig(
        instance_count=1, instance_type="ml.m5.large", output_path=f"s3://{data}/built/"
    )
    transformer = builder.deploy(inference_config=places)
    transformer.transform(f"s3://{data}/in/", content_type="text/csv", split_type="Line", wait=False, logs=False)
    transformer.latest_transform_job.wait(poll=1)
    assert json.loads(output(client, f"s3://{data}/built/")) == pytest.approx(PREDICTIONS)


def test_model_builder_packs_code_that_is_given_as_a_class(sdk, session, trained, tmp_path):
    class Regression(sdk.InferenceSpec):
        def load(self, model_dir):
            import joblib

            return joblib.load(f"{model_dir}/model.joblib")

        def invoke(self, rows, model):
            return model.predict(rows)

    (tmp_path / "model.joblib").write_bytes(trained)
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    builder = sdk.ModelBuilder(
        inference_spec=Regression(),
        schema_builder=sdk.SchemaBuilder(rows, np.array(PREDICTIONS, dtype=float)),
        model_server=sdk.ModelServer.TORCHSERVE,
        image_uri="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
        model_path=str(tmp_path),
        role_arn=ROLE,
        sagemaker_session=session,
        instance_type="ml.m5.large",
        dependencies={"auto": False},
    )
    builder.build()
    endpoint = deployed(builder)
    body = io.BytesIO()
    np.save(body, rows)
    answer = endpoint.invoke(body=body.getvalue(), content_type="application/x-npy", accept="application/x-npy")
    assert np.load(io.BytesIO(answer.body.read())) == pytest.approx(PREDICTIONS)
    endpoint.delete()
