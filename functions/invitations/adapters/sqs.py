"""The request queue, and the dead-letter queue behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.envelopes import write_progress
from invitations.errors import QueueUnavailableError
from invitations.models import Progress, Result

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

PROGRESS_ATTRIBUTE = "reinvite_progress"
"""The message attribute that carries a request's `Progress`."""


@dataclass(frozen=True, slots=True)
class SqsRequestQueue:
    client: "SQSClient"
    queue_url: str
    dead_letter_queue_url: str

    def defer(self, body: str, progress: Progress, delay_seconds: int) -> None:
        attributes = {PROGRESS_ATTRIBUTE: write_progress(progress)}
        self._send(self.queue_url, body, attributes, delay_seconds)

    def park(self, body: str, progress: Progress | None, result: Result) -> None:
        attributes = {"status": str(result.status), "reason": result.reason}
        if progress is not None:
            attributes[PROGRESS_ATTRIBUTE] = write_progress(progress)
        self._send(self.dead_letter_queue_url, body, attributes)

    def _send(
        self, queue_url: str, body: str, attributes: Mapping[str, str], delay_seconds: int = 0
    ) -> None:
        try:
            self.client.send_message(
                QueueUrl=queue_url,
                MessageBody=body,
                DelaySeconds=delay_seconds,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailableError(f"the queue did not take a message: {error}") from error
