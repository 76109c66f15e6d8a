"""The names that the tests need of the SageMaker SDK.

Import this once the environment leads to the local cloud: the SDK makes clients while it is being imported.
"""

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.inference_config import AsyncInferenceConfig, ServerlessInferenceConfig
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TransformJob
from sagemaker.core.shapes import (
    ContainerDefinition,
    ProductionVariant,
    TransformDataSource,
    TransformInput,
    TransformOutput,
    TransformResources,
    TransformS3DataSource,
)
from sagemaker.core.training.configs import SourceCode
from sagemaker.core.transformer import Transformer
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.core.utils.utils import SageMakerClient
from sagemaker.serve import InferenceSpec, ModelBuilder, ModelServer
from sagemaker.serve.batch_inference.batch_transform_inference_config import BatchTransformInferenceConfig
from sagemaker.serve.builder.schema_builder import SchemaBuilder

__all__ = [
    "AsyncInferenceConfig",
    "BatchTransformInferenceConfig",
    "ContainerDefinition",
    "Endpoint",
    "EndpointConfig",
    "FailedStatusError",
    "InferenceSpec",
    "Model",
    "ModelBuilder",
    "ModelServer",
    "ProductionVariant",
    "SageMakerClient",
    "SchemaBuilder",
    "ServerlessInferenceConfig",
    "Session",
    "SourceCode",
    "TransformDataSource",
    "TransformInput",
    "TransformJob",
    "TransformOutput",
    "TransformResources",
    "TransformS3DataSource",
    "Transformer",
]
