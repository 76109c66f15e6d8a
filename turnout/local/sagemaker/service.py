"""The whole SageMaker of the local cloud, as the emulator holds it: one call, state in and out."""

from turnout.local.sagemaker.api import RUNNING, Api
from turnout.local.sagemaker.jobs import Jobs
from turnout.local.sagemaker.ports import Cloud
from turnout.local.sagemaker.store import Store


class SageMaker:
    """Control plane and data plane together."""

    def __init__(self, cloud: Cloud) -> None:
        self.store = Store()
        self.jobs = Jobs(cloud, self.store)
        self._api = Api(cloud, self.store, self.jobs.start, self.jobs.stop)
        self._cloud = cloud

    def call(self, operation: str, request: dict) -> dict:
        """Answer one API operation for the current scope. Raises ApiError."""
        return self._api.call(operation, request)

    def model_name(self, arn: str) -> str | None:
        """Return the name behind a model's ARN (ARNs are in lower case), or None when it is gone."""
        models = self.store.all("models", self._cloud.scope())
        return next((model["ModelName"] for model in models if model["ModelArn"] == arn), None)

    def reset(self) -> None:
        """Forget everything; running jobs end first."""
        self.jobs.stop_all()
        self.store.clear()

    def dump(self) -> dict:
        return self.store.dump()

    def load(self, state: dict) -> None:
        """Take saved state back. A job that was running when the state was saved is Failed: its process is gone."""
        for _, _, _, job in state.get("jobs", []):
            if job["TransformJobStatus"] in RUNNING:
                job["TransformJobStatus"] = "Failed"
                job["FailureReason"] = "InternalServerError: the local cloud was stopped while the job was running."
        self.store.load(state)
