"""What is deployed: stacks, their outputs, and the records in a model's table.

Everything goes through boto3 and its standard settings, so `AWS_ENDPOINT_URL` decides whether this is
AWS, LocalStack or Turnout's local cloud.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import and_
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.layout import stack_name
from handlers.contract.records import GENERATION, NO_SORT, PK, POINTER, RUN, SK, Generation, Pointer, Run
from turnout.errors import NotDeployed, UserError

#: Deleted items between two signs of life.
DELETED_BETWEEN_NEWS = 1_000


@dataclass(frozen=True)
class Platform:
    """The platform stack of one stage."""

    stage: str
    stack: str
    api_url: str
    api_id: str
    data_bucket: str
    alarm_topic: str


@dataclass(frozen=True)
class Model:
    """One model's stack. The table is read with consistent reads; records are those of `handlers.contract.records`."""

    name: str
    stage: str
    stack: str
    mode: str
    model_version: str
    state_machine: str | None  # None in modes that do not score in batch
    table_name: str
    front_door: str
    outputs: Mapping[str, str] = field(default_factory=dict)  # the stack's, all of them
    stack_status: str = ""

    @cached_property
    def _table(self):
        return boto3.resource("dynamodb").Table(self.table_name)

    def pointer(self) -> Pointer:
        item = self._get(POINTER, NO_SORT)
        return Pointer.from_item(item) if item else Pointer()

    def generation(self, generation_id: str | None) -> Generation | None:
        item = self._get(GENERATION, generation_id) if generation_id else None
        return Generation.from_item(item) if item else None

    def generations(self, limit: int) -> list[Generation]:
        """Return up to `limit` generations that still have a manifest, newest first, those that were refused too."""
        return [Generation.from_item(item) for item in self._newest(GENERATION, limit)]

    def put_generation(self, generation: Generation, *, instead_of: Generation | None = None) -> None:
        """Write a manifest; with `instead_of` only if that is still there as it was read, else UserError is raised."""
        arguments = {"ConditionExpression": _as_read(instead_of)} if instead_of else {}
        with self._told(f"Generation {generation.id} of model '{self.name}' was deleted or changed meanwhile."):
            self._table.put_item(Item=generation.to_item(), **arguments)

    def delete_generation(self, generation_id: str) -> None:
        """Delete a generation's manifest; its scores are items of their own."""
        self._table.delete_item(Key={PK: GENERATION, SK: generation_id})

    def delete_items(self, names: Iterable[tuple[str, str]], progress: Callable[[int], None]) -> int:
        """Delete items by their keys, those that are not there too; return how many. `progress` is told so far."""
        deleted = 0
        with self._table.batch_writer() as writer:
            for deleted, (pk, sk) in enumerate(names, start=1):
                writer.delete_item(Key={PK: pk, SK: sk})
                if deleted % DELETED_BETWEEN_NEWS == 0:
                    progress(deleted)
        progress(deleted)
        return deleted

    def keys_beginning(self, start: str, sk: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield the keys of items whose partition key begins so, with `sk` only those. It reads the whole table."""
        begins = Attr(PK).begins_with(start)
        pages = self._table.meta.client.get_paginator("scan").paginate(
            TableName=self.table_name,
            FilterExpression=begins if sk is None else begins & Attr(SK).eq(sk),
            ProjectionExpression=f"{PK}, {SK}",
            ConsistentRead=True,
        )
        return ((item[PK], item[SK]) for page in pages for item in page["Items"])

    def run(self, run_id: str) -> Run | None:
        item = self._get(RUN, run_id)
        return Run.from_item(item) if item else None

    def put_run(self, run: Run, *, instead_of: Run) -> None:
        """Write a run of the ledger if its status is still the one that was read, else UserError is raised."""
        with self._told(f"Run {run.id} of model '{self.name}' changed meanwhile."):
            self._table.put_item(Item=run.to_item(), ConditionExpression=Attr("status").eq(instead_of.status))

    def runs(self, limit: int) -> list[Run]:
        """Return up to `limit` runs of the newest slots, last started first."""
        found = (Run.from_item(item) for item in self._newest(RUN, limit))
        return sorted(found, key=lambda run: run.started_at, reverse=True)

    def move_pointer(self, old: Pointer, new: Pointer) -> None:
        """Write `new` if the table still holds `old`. Raises UserError when a run moved it in between."""
        as_seen = Attr("revision").eq(old.revision) if old.revision else Attr(PK).not_exists()
        with self._told(f"The generation of model '{self.name}' changed while it was being rolled back."):
            self._table.put_item(Item=new.to_item(), ConditionExpression=as_seen)

    @contextmanager
    def _told(self, changed: str) -> Iterator[None]:
        """Turn a write that came too late into a UserError in these words."""
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            raise UserError(changed, "Look at `turnout generations` and decide again.") from error

    def _newest(self, pk: str, limit: int) -> list[dict[str, Any]]:
        """Return the last `limit` items of a partition, by pages: DynamoDB ends one after 1 MB, full or not."""
        pages = self._table.meta.client.get_paginator("query").paginate(
            TableName=self.table_name,
            KeyConditionExpression=Key(PK).eq(pk),
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"MaxItems": limit, "PageSize": limit},
        )
        return [item for page in pages for item in page["Items"]]

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        return self._table.get_item(Key={PK: pk, SK: sk}, ConsistentRead=True).get("Item")


def _as_read(generation: Generation) -> ConditionBase:
    """Return the condition that a manifest is there, refused or being deleted as this one is, or neither."""
    told = {name: getattr(generation, name) for name in ("refused", "deleting")}
    states = [Attr(name).not_exists() if value is None else Attr(name).eq(value) for name, value in told.items()]
    return reduce(and_, states, Attr(PK).exists())


def find_platform(stage: str) -> Platform:
    """Return the stage's platform. Raises NotDeployed."""
    stack = stack_name(stage, "platform")
    _, outputs = _described(stack)
    return Platform(
        stage=stage,
        stack=stack,
        api_url=reachable_url(outputs["ApiUrl"], outputs["ApiId"]),
        api_id=outputs["ApiId"],
        data_bucket=outputs["DataBucketName"],
        alarm_topic=outputs["AlarmTopicArn"],
    )


def find_model(stage: str, name: str) -> Model:
    """Return a deployed model. Raises NotDeployed."""
    stack = stack_name(stage, name)
    status, outputs = _described(stack)
    return Model(
        name=name,
        stage=stage,
        stack=stack,
        mode=outputs["Mode"],
        model_version=outputs["ModelVersion"],
        state_machine=outputs.get("StateMachineArn"),
        table_name=outputs["TableName"],
        front_door=outputs["FrontDoorName"],
        outputs=outputs,
        stack_status=status,
    )


def deployed_models(stage: str) -> list[str]:
    """Return the names of the models that have a stack in this stage."""
    prefix = stack_name(stage, "")
    pages = _cloudformation().get_paginator("list_stacks").paginate()
    found = {
        summary["StackName"].removeprefix(prefix)
        for page in _checked(lambda: list(pages))
        for summary in page["StackSummaries"]
        if summary["StackName"].startswith(prefix) and summary["StackStatus"] != "DELETE_COMPLETE"
    }
    return sorted(found - {"platform"})


def reachable_url(url: str, api_id: str) -> str:
    """Return the API's base URL without a trailing slash, as this machine can call it.

    AWS's own URL is used as it is. Under `AWS_ENDPOINT_URL` the host does not exist, so the
    emulator's path form is used (ministack 1.5.33 and LocalStack accept it).
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint or urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost"):
        return url.rstrip("/")
    return f"{endpoint.rstrip('/')}/_aws/execute-api/{api_id}/$default"


def _described(stack: str) -> tuple[str, dict[str, str]]:
    """Return a stack's status and outputs. Raises NotDeployed where it has none."""
    try:
        described = _checked(lambda: _cloudformation().describe_stacks(StackName=stack))
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise NotDeployed(f"Stack {stack} is not deployed here.", "Run `cdk deploy --all` first.") from error
    entry = described["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in entry.get("Outputs", [])}
    if not outputs:
        raise NotDeployed(f"Stack {stack} is {entry['StackStatus']} and has no outputs.", "Run `cdk deploy --all`.")
    return entry["StackStatus"], outputs


def _cloudformation():
    return _checked(lambda: boto3.client("cloudformation"))


def _checked(call):
    try:
        return call()
    except BotoCoreError as error:
        raise UserError(
            f"No answer from AWS: {str(error).rstrip('.')}.",
            "Check credentials, region and AWS_ENDPOINT_URL; for the local cloud add --local after `turnout local up`.",
        ) from error
