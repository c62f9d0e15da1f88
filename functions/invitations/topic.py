"""The results topic."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.batcher import Batcher, refusals_of
from invitations.errors import TopicUnavailableError
from invitations.results import Result

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient

MOST_AT_ONCE = 10
"""Messages in one call. SNS takes no more than 256 KiB; ten results have at most a quarter."""


class ResultTopic:
    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn
        self._batcher = Batcher(self._publish_batch, MOST_AT_ONCE)

    def publish(self, result: Result) -> None:
        """Publish a result; threads do so together. Raises TopicUnavailableError."""
        attributes = {"status": result.status, "reason": result.reason, "source": result.source}
        self._send(result.to_json(), attributes)

    def publish_summary(self, summary: Mapping[str, Any]) -> None:
        """Publish what a sweep came to. Raises TopicUnavailableError."""
        attributes = {"status": summary["status"], "reason": summary["reason"], "source": "sweep"}
        self._send(json.dumps(summary), attributes)

    def _send(self, text: str, attributes: Mapping[str, str]) -> None:
        refused = self._batcher.submit((text, attributes))
        if refused is not None:
            raise TopicUnavailableError(f"the topic did not take a message: {refused}")

    def _publish_batch(
        self, messages: Sequence[tuple[str, Mapping[str, str]]]
    ) -> Sequence[str | None]:
        """Publish messages; return for each why it was refused, or None."""
        try:
            answer = self._client.publish_batch(
                TopicArn=self._topic_arn,
                PublishBatchRequestEntries=[
                    {
                        "Id": str(index),
                        "Message": text,
                        "MessageAttributes": {
                            name: {"DataType": "String", "StringValue": str(value)}
                            for name, value in attributes.items()
                        },
                    }
                    for index, (text, attributes) in enumerate(messages)
                ],
            )
        except (BotoCoreError, ClientError) as error:
            return [str(error)] * len(messages)
        return refusals_of(answer, len(messages))
