"""The results topic."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import TopicUnavailableError
from invitations.models import Result, Source

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sns.type_defs import (
        MessageAttributeValueTypeDef,
        PublishBatchRequestEntryTypeDef,
    )

    from invitations.sweeps import Summary

MOST_AT_ONCE = 10
"""Messages in one call. SNS also takes no more than 256 KiB; ten results have at most a quarter."""


class SnsResultTopic:
    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        self.client = client
        self.topic_arn = topic_arn

    def publish(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        return [
            error
            for start in range(0, len(results), MOST_AT_ONCE)
            for error in self._publish_batch(results[start : start + MOST_AT_ONCE])
        ]

    def publish_summary(self, summary: "Summary") -> None:
        attributes = {"status": summary.status, "reason": summary.reason, "source": Source.SWEEP}
        try:
            self.client.publish(
                TopicArn=self.topic_arn,
                Message=summary.to_json(),
                MessageAttributes=_attributes(attributes),
            )
        except (BotoCoreError, ClientError) as error:
            raise _untaken(str(error)) from error

    def _publish_batch(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        try:
            answer = self.client.publish_batch(
                TopicArn=self.topic_arn,
                PublishBatchRequestEntries=[
                    _entry(str(index), result) for index, result in enumerate(results)
                ],
            )
        except (BotoCoreError, ClientError) as error:
            return [_untaken(str(error))] * len(results)
        failed = {entry["Id"]: entry["Code"] for entry in answer.get("Failed", [])}
        taken = {entry["Id"] for entry in answer.get("Successful", [])}
        return [
            None if str(index) in taken else _untaken(failed.get(str(index), "it did not say why"))
            for index in range(len(results))
        ]


def _entry(entry_id: str, result: Result) -> "PublishBatchRequestEntryTypeDef":
    attributes = {"status": result.status, "reason": result.reason, "source": result.source}
    return {
        "Id": entry_id,
        "Message": result.to_json(),
        "MessageAttributes": _attributes(attributes),
    }


def _attributes(texts: Mapping[str, str]) -> "dict[str, MessageAttributeValueTypeDef]":
    return {name: {"DataType": "String", "StringValue": str(text)} for name, text in texts.items()}


def _untaken(why: str) -> TopicUnavailableError:
    return TopicUnavailableError(f"the topic did not take a result: {why}")
