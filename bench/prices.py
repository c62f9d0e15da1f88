"""The list prices of us-east-1 in November 2026, on demand and without free tiers."""

from enum import Enum
from typing import NamedTuple


class Price(NamedTuple):
    label: str
    dollars: float
    per: int
    unit: str
    page: str
    """Below https://aws.amazon.com/."""

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.dollars / self.per


class Item(Enum):
    """What AWS bills for an e-mail."""

    TABLE_WRITES = Price("DynamoDB writes", 0.625, 10**6, "write unit: 1 KB", "dynamodb/pricing")
    TABLE_READS = Price("DynamoDB reads", 0.125, 10**6, "read unit: 4 KB", "dynamodb/pricing")
    TOPIC = Price("SNS", 0.50, 10**6, "request of up to 64 KB", "sns/pricing")
    QUEUE = Price("SQS", 0.40, 10**6, "request of up to 64 KB", "sqs/pricing")
    SECRET = Price("Secrets Manager", 0.05, 10**4, "call", "secrets-manager/pricing")
    INVOCATIONS = Price("Lambda requests", 0.20, 10**6, "request", "lambda/pricing")
    COMPUTE = Price("Lambda arm64", 0.0000133334, 1, "GB-second", "lambda/pricing")
    LOGS = Price("CloudWatch Logs", 0.50, 10**9, "byte taken in", "cloudwatch/pricing")


class Network(Enum):
    """What AWS bills for a network with a fixed address: by the hour, whatever is sent."""

    GATEWAY_HOURS = Price("NAT gateway", 0.045, 1, "hour", "vpc/pricing")
    GATEWAY_DATA = Price("NAT gateway data", 0.045, 10**9, "byte, either way", "vpc/pricing")
    ADDRESS_HOURS = Price("Public IPv4 address", 0.005, 1, "hour", "vpc/pricing")
    ENDPOINT_HOURS = Price("Interface endpoint", 0.01, 1, "hour and zone", "privatelink/pricing")
    ENDPOINT_DATA = Price("Interface endpoint data", 0.01, 10**9, "byte", "privatelink/pricing")
