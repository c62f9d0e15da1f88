"""The list prices of November 2026 in us-east-1 and eu-west-1, on demand and without free tiers."""

from enum import Enum
from typing import NamedTuple


class Price(NamedTuple):
    label: str
    dollars: float
    """In us-east-1."""
    per: int
    unit: str
    page: str
    """Below https://aws.amazon.com/."""
    different: float | None = None
    """Dollars in eu-west-1, where that is used and differs."""

    @property
    def each(self) -> float:
        """Dollars for one unit in us-east-1."""
        return self.dollars / self.per

    @property
    def in_europe(self) -> float:
        """Dollars for one unit in eu-west-1."""
        return (self.different or self.dollars) / self.per


class Item(Enum):
    """What AWS bills for an e-mail."""

    TABLE_WRITES = Price("DynamoDB writes", 0.625, 10**6, "1 KB", "dynamodb/pricing", 0.705)
    TABLE_READS = Price("DynamoDB reads", 0.125, 10**6, "4 KB", "dynamodb/pricing", 0.1415)
    TOPIC = Price("SNS", 0.50, 10**6, "request of up to 64 KB", "sns/pricing")
    QUEUE = Price("SQS", 0.40, 10**6, "request of up to 64 KB", "sqs/pricing")
    SECRET = Price("Secrets Manager", 0.05, 10**4, "call", "secrets-manager/pricing")
    INVOCATIONS = Price("Lambda requests", 0.20, 10**6, "request", "lambda/pricing")
    COMPUTE = Price("Lambda arm64", 0.0000133334, 1, "GB-second", "lambda/pricing")
    LOGS = Price("CloudWatch Logs", 0.50, 10**9, "byte taken in", "cloudwatch/pricing", 0.57)
