"""The results topic."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invitations.batcher import MOST_MESSAGES, Batcher, Entry, send_batch, text_attributes
from invitations.errors import TopicUnavailableError
from invitations.results import Result

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient


class ResultTopic:
    """The topic; threads publish together. Both methods raise TopicUnavailableError."""

    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn
        # SNS takes no more than 256 KiB in one call; ten results have at most a quarter.
        self._batcher: Batcher[Entry, str | None] = Batcher(self._publish_batch, MOST_MESSAGES)

    def publish(self, result: Result) -> None:
        attributes = {"status": result.status, "reason": result.reason, "source": result.source}
        self._publish(result.to_json(), attributes)

    def publish_summary(self, summary: Mapping[str, Any]) -> None:
        """Publish what a sweep came to."""
        attributes = {"status": summary["status"], "reason": summary["reason"], "source": "sweep"}
        self._publish(json.dumps(summary), attributes)

    def _publish(self, text: str, attributes: Mapping[str, str]) -> None:
        entry = {"Message": text, "MessageAttributes": text_attributes(attributes)}
        refusal = self._batcher.submit(entry)
        if refusal is not None:
            raise TopicUnavailableError(f"the topic did not take a message: {refusal}")

    def _publish_batch(self, entries: Sequence[Entry]) -> list[str | None]:
        return send_batch(
            lambda numbered: self._client.publish_batch(
                TopicArn=self._topic_arn, PublishBatchRequestEntries=numbered
            ),
            entries,
        )
