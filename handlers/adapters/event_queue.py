"""`handlers.logic.refreshing.Backlog` in SQS, and the messages of a Lambda event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from handlers.contract.errors import RequestError, StoreUnavailable
from handlers.logic.refreshing import Message

#: Entries of one ChangeMessageVisibilityBatch.
BATCH = 10


def messages_of(event: dict[str, Any]) -> list[Message]:
    return [
        Message(
            id=record["messageId"],
            handle=record["receiptHandle"],
            body=record["body"],
            arrived=int(record["attributes"]["SentTimestamp"]),
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
        )
        for record in event["Records"]
    ]


class EventQueue:
    def __init__(self, client: Any, queue_url: str, letters_url: str) -> None:
        self._client, self._queue, self._letters = client, queue_url, letters_url

    def postpone(self, pauses: dict[str, int]) -> None:
        """Hide messages; one that is hidden no more, or gone, is received again as SQS sees fit."""
        waiting = list(pauses.items())
        for start in range(0, len(waiting), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": pause}
                for number, (handle, pause) in enumerate(waiting[start : start + BATCH])
            ]
            with _answered():
                self._client.change_message_visibility_batch(QueueUrl=self._queue, Entries=entries)

    def give_up(self, message: Message, error: RequestError) -> None:
        reason = {"Code": error.code, "Reason": error.message[:1000]}
        attributes = {name: {"DataType": "String", "StringValue": text} for name, text in reason.items()}
        with _answered():
            self._client.send_message(QueueUrl=self._letters, MessageBody=message.body, MessageAttributes=attributes)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable("the queue does not answer; try again in a moment") from error
