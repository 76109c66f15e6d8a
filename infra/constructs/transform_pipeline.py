"""The batch pipeline: four functions and the state machine that calls them around Batch Transform."""

from collections.abc import Sequence

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from handlers.contract import layout, metrics
from handlers.contract.env import PipelineEnv
from infra.constructs.function import HandlerFunction, Size
from infra.constructs.log_group import LogGroup
from infra.constructs.model import Model, telemetry
from infra.constructs.parts import Parts
from infra.constructs.permissions import Statement, allow, put_metrics
from infra.constructs.pipeline_definition import definition
from infra.constructs.pseudo import arn, partition
from infra.constructs.score_permissions import claim_runs, conclude_runs
from infra.constructs.state_machine import add_machine

#: What each step is given. `prepare` is paid for its CPU: 3,008 MB bring 1.7 vCPU. `publish` packs a million scores in
#: one thread: 1,769 MB bring one vCPU. `conclude` reads a receipt for each shard, 3,100 at most, at some 5 ms of CPU on
#: half a core.
SIZES = {
    "start": Size(memory_mb=256, timeout_seconds=60),
    "prepare": Size(memory_mb=3008, timeout_seconds=900),
    "publish": Size(memory_mb=1769, timeout_seconds=900),
    "conclude": Size(memory_mb=1024, timeout_seconds=300),
}
#: For predictions that may be any JSON: a million lists of 20 floats take 1.7 GB while they are packed.
PUBLISH_JSON = Size(memory_mb=3008, timeout_seconds=900)
DESCRIPTIONS = {
    "start": "claims the run of one slot",
    "prepare": "checks the input's rows and cuts them into shards",
    "publish": "joins a shard's predictions with its keys and writes results, then packs scores",
    "conclude": "verifies a run and makes it visible, or records why it failed",
}
#: Steps that read and write Parquet.
WITH_ARROW = {"prepare", "publish"}


class TransformPipeline(Construct):
    """Scores everything under the model's input location, once per execution of the machine `arn`.

    All steps and the machine write to one log group: a run reads as one story.
    """

    def __init__(self, scope: Construct, id: str, *, parts: Parts, publish: Sequence[Statement]) -> None:
        """`publish` is what the publishing step may do beyond writing results, where the mode keeps scores."""
        super().__init__(scope, id)
        logs = LogGroup(self, parts.stage)
        self._model = Model(
            self,
            "Model",
            parts=parts,
            family="transform",
            allowed=[*_transform_files(parts), *telemetry("/aws/sagemaker/TransformJobs")],
            tags=parts.job_tags,
        )
        allowed = _step_permissions(parts)
        allowed["publish"] += publish
        steps = {step: self._step(step, parts, allowed[step], logs) for step in SIZES}
        self.machine = self._add_machine(parts, {step: function.arn for step, function in steps.items()}, logs)
        self.arn = self.machine.attr_arn

    def start_and_watch(self) -> list[Statement]:
        """Allow starting a run and seeing how it goes."""
        executions = arn("states", f"execution:{self.machine.attr_name}:*")
        return [allow(["states:StartExecution"], [self.arn]), allow(["states:DescribeExecution"], [executions])]

    def _step(self, step: str, parts: Parts, statements: list[Statement], logs: LogGroup) -> HandlerFunction:
        return HandlerFunction(
            self,
            step.capitalize(),
            entry=step,
            description=f"{parts.spec.name}: {DESCRIPTIONS[step]}.",
            code=parts.code,
            env=_environment(parts),
            size=PUBLISH_JSON if step == "publish" and parts.card.wire_format == "jsonlines" else SIZES[step],
            statements=statements,
            logs=logs,
            tags=parts.tags,
            layers=[parts.published.arrow_layer] if step in WITH_ARROW else [],
        )

    def _add_machine(self, parts: Parts, steps: dict[str, str], logs: LogGroup) -> sfn.CfnStateMachine:
        return add_machine(
            self,
            definition=definition(card=parts.card, transform=parts.spec.transform, tags=parts.job_tags),
            substitutions={
                "RunTransformJob": f"arn:{partition()}:states:::sagemaker:createTransformJob.sync",
                "ModelName": self._model.name,
                "ModelVersion": parts.model_version,
                **{f"{step.capitalize()}Arn": step_arn for step, step_arn in steps.items()},
            },
            allowed=_machine_permissions(parts, list(steps.values())),
            logs=logs,
        )


def _transform_files(parts: Parts) -> list[Statement]:
    """Batch Transform reads shards and writes its output under the role of the model."""
    work = layout.work_root(parts.spec.name)
    data = parts.data
    return [data.enumerate(work), data.read(f"{work}*/shards/"), data.write(f"{work}*/transform/")]


def _environment(parts: Parts) -> PipelineEnv:
    return PipelineEnv(
        stage=parts.stage.name,
        model=parts.spec.name,
        mode=parts.spec.mode.value,
        table=parts.scores.name,
        data_bucket=parts.data.name,
        spec_bucket=parts.card_file.bucket,
        spec_key=parts.card_file.key,
    )


def _step_permissions(parts: Parts) -> dict[str, list[Statement]]:
    """Return what each step may do, beside writing its log."""
    name, data, table = parts.spec.name, parts.data, parts.scores.arn
    work, results, quarantine = layout.work_root(name), layout.results_root(name), layout.quarantine_root(name)
    receipts = f"{work}*/published/"
    metric = put_metrics(metrics.NAMESPACE)
    return {
        "start": [claim_runs(table), metric],
        "prepare": [
            parts.card_file.read,
            parts.source.enumerate(parts.source_prefix),
            parts.source.read(parts.source_prefix),
            data.enumerate(work),
            data.write(f"{work}*/shards/", f"{work}*/keys/", quarantine),
            data.delete(work),
        ],
        "publish": [
            parts.card_file.read,
            data.notice_missing(),
            data.read(f"{work}*/keys/", f"{work}*/transform/", f"{work}*/scores/"),
            data.write(receipts, results, f"{work}*/scores/"),
        ],
        "conclude": [
            parts.card_file.read,
            data.notice_missing(),
            data.read(receipts),
            conclude_runs(table),
            metric,
        ],
    }


def _machine_permissions(parts: Parts, functions: list[str]) -> list[Statement]:
    """Return what the machine may do. Its jobs take the model's role, so it needs no PassRole."""
    prefix = layout.resource_prefix(parts.stage.name, parts.spec.name)
    jobs = ["CreateTransformJob", "DescribeTransformJob", "StopTransformJob", "AddTags"]
    rule = arn("events", "rule/StepFunctionsGetEventsForSageMakerTransformJobsRule")
    return [
        allow(["lambda:InvokeFunction"], functions),
        allow([f"sagemaker:{action}" for action in jobs], [arn("sagemaker", f"transform-job/{prefix}*")]),
        allow(["sagemaker:ListTags"], ["*"]),
        allow(["events:PutTargets", "events:PutRule", "events:DescribeRule"], [rule]),
    ]
