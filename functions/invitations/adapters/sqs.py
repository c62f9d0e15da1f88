"""The request queue, the dead-letter queue behind it, and the queue of sweeps that were put off."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.envelopes import write_progress
from invitations.errors import QueueUnavailableError
from invitations.models import Copy, Progress, Result

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

MOST_AT_ONCE = 10
MOST_BYTES_AT_ONCE = 256 * 1024
"""In one call: what SQS took before it took more, so that it is safe wherever this runs."""

PROGRESS_ATTRIBUTE = "reinvite_progress"
"""The message attribute that carries a request's `Progress`."""


class _Sender:
    """Makes its client when the first message is to be put somewhere: seldom, and side by side."""

    def __init__(self, make_client: "Callable[[], SQSClient]") -> None:
        self._make_client = make_client
        self._client_lock = threading.Lock()
        self._made_client: SQSClient | None = None

    @property
    def _client(self) -> "SQSClient":
        # A session must not make clients in several threads at once.
        with self._client_lock:
            if self._made_client is None:
                self._made_client = self._make_client()
            return self._made_client

    def send(self, queue_url: str, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(index),
                "MessageBody": copy.body,
                "DelaySeconds": copy.delay_seconds,
                "MessageAttributes": _attributes(
                    {PROGRESS_ATTRIBUTE: write_progress(copy.progress)}
                ),
            }
            for index, copy in enumerate(copies)
        ]
        refused: dict[str, QueueUnavailableError] = {}
        for together in _in_calls(entries):
            refused |= self._send_batch(queue_url, together)
        return [refused.get(entry["Id"]) for entry in entries]

    def send_one(
        self, queue_url: str, body: str, attributes: Mapping[str, str], delay_seconds: int = 0
    ) -> None:
        try:
            self._client.send_message(
                QueueUrl=queue_url,
                MessageBody=body,
                DelaySeconds=delay_seconds,
                MessageAttributes=_attributes(attributes),
            )
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(str(error)) from error

    def _send_batch(
        self, queue_url: str, entries: "Sequence[SendMessageBatchRequestEntryTypeDef]"
    ) -> dict[str, QueueUnavailableError]:
        try:
            answer = self._client.send_message_batch(QueueUrl=queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            return {entry["Id"]: _unavailable(str(error)) for entry in entries}
        taken = {entry["Id"] for entry in answer.get("Successful", [])}
        failed = {entry["Id"]: entry["Code"] for entry in answer.get("Failed", [])}
        return {
            entry["Id"]: _unavailable(failed.get(entry["Id"], "it did not say why"))
            for entry in entries
            if entry["Id"] not in taken
        }


class SqsRequestQueue:
    def __init__(
        self, make_client: "Callable[[], SQSClient]", queue_url: str, dead_letter_queue_url: str
    ) -> None:
        self._sender = _Sender(make_client)
        self._queue_url = queue_url
        self._dead_letter_queue_url = dead_letter_queue_url

    def defer(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        return self._sender.send(self._queue_url, copies)

    def park(self, body: str, progress: Progress | None, result: Result) -> None:
        attributes = {"status": str(result.status), "reason": result.reason}
        if progress is not None:
            attributes[PROGRESS_ATTRIBUTE] = write_progress(progress)
        self._sender.send_one(self._dead_letter_queue_url, body, attributes)


class SqsSweepQueue:
    def __init__(
        self, make_client: "Callable[[], SQSClient]", request_queue_url: str, order_queue_url: str
    ) -> None:
        self._sender = _Sender(make_client)
        self._request_queue_url = request_queue_url
        self._order_queue_url = order_queue_url

    def ask(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        return self._sender.send(self._request_queue_url, copies)

    def put_off(self, order: str, delay_seconds: int) -> None:
        self._sender.send_one(self._order_queue_url, order, {}, delay_seconds)


def _in_calls(
    entries: "Sequence[SendMessageBatchRequestEntryTypeDef]",
) -> "Iterator[list[SendMessageBatchRequestEntryTypeDef]]":
    """As many together as one call may have."""
    together: list[SendMessageBatchRequestEntryTypeDef] = []
    size = 0
    for entry in entries:
        entry_size = _size(entry)
        if together and (len(together) == MOST_AT_ONCE or size + entry_size > MOST_BYTES_AT_ONCE):
            yield together
            together, size = [], 0
        together.append(entry)
        size += entry_size
    if together:
        yield together


def _size(entry: "SendMessageBatchRequestEntryTypeDef") -> int:
    """Bytes that SQS counts: the body and each attribute's name, type and value."""
    texts = [entry["MessageBody"]]
    for name, value in entry.get("MessageAttributes", {}).items():
        texts += [name, value["DataType"], value.get("StringValue", "")]
    return sum(len(text.encode(errors="surrogatepass")) for text in texts)


def _attributes(texts: Mapping[str, str]) -> "dict[str, MessageAttributeValueTypeDef]":
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}


def _unavailable(why: str) -> QueueUnavailableError:
    return QueueUnavailableError(f"the queue did not take a message: {why}")
