"""The results topic."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from invitations.batcher import BatchSender, text_attributes
from invitations.errors import TopicUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient


class ResultTopic:
    """The topic; threads publish together."""

    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        # SNS takes no more than 256 KiB in one call; ten results have at most a quarter.
        self._sender = BatchSender(
            lambda entries: client.publish_batch(
                TopicArn=topic_arn, PublishBatchRequestEntries=entries
            ),
            TopicUnavailableError,
        )

    def publish(self, document: Mapping[str, Any], source: str) -> None:
        """Publish a result or a sweep's summary; raises TopicUnavailableError."""
        texts = {"status": document["status"], "reason": document["reason"], "source": source}
        self._sender.send(
            {"Message": json.dumps(document), "MessageAttributes": text_attributes(texts)}
        )
