"""The results topic."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import TopicUnavailableError
from invitations.models import Result

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient


@dataclass(frozen=True, slots=True)
class SnsResultTopic:
    client: "SNSClient"
    topic_arn: str

    def publish(self, result: Result) -> None:
        attributes = {"status": result.status, "reason": result.reason, "source": result.source}
        try:
            self.client.publish(
                TopicArn=self.topic_arn,
                Message=result.to_json(),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": str(value)}
                    for name, value in attributes.items()
                },
            )
        except (BotoCoreError, ClientError) as error:
            raise TopicUnavailableError(f"the topic did not take a result: {error}") from error
