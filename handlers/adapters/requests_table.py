"""`handlers.logic.gating_ports.Requests` in a model's DynamoDB table: one query, for ids sort by time."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from handlers.adapters.attributes import from_attributes
from handlers.adapters.store_errors import answered
from handlers.contract.layout import request_id
from handlers.contract.records import REQUEST, Request
from handlers.logic.moments import parse_moment

#: SageMaker keeps a request for at most 6 hours in the queue and works on it for at most one.
LONGEST_WAIT = timedelta(hours=7)


class RequestsTable:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, table

    def waiting(self, now: datetime) -> Iterator[Request]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :requests AND sk > :oldest",
            ExpressionAttributeValues={
                ":requests": {"S": REQUEST},
                ":oldest": {"S": request_id(now - LONGEST_WAIT, "")},
            },
            ConsistentRead=True,
        )
        with answered():
            for page in pages:
                for item in page["Items"]:
                    request = Request.from_item(from_attributes(item))
                    if parse_moment(request.waits_until) > now:
                        yield request
