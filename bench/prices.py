"""List prices of us-east-1 in dollars, on demand, without free tiers and discounts."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Price:
    label: str
    dollars: float
    per: int
    unit: str
    page: str

    @property
    def each(self) -> float:
        return self.dollars / self.per


class Item(Enum):
    """What AWS bills for; pages as read in November 2026."""

    TABLE_WRITES = Price(
        "DynamoDB writes",
        0.625,
        1_000_000,
        "write request unit: 1 KB, two in a transaction",
        "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    )
    TABLE_READS = Price(
        "DynamoDB reads",
        0.125,
        1_000_000,
        "read request unit: 4 KB, strongly consistent",
        "https://aws.amazon.com/dynamodb/pricing/on-demand/",
    )
    TOPIC = Price(
        "SNS",
        0.50,
        1_000_000,
        "request: 64 KB, however many messages; deliveries to SQS and Lambda are free",
        "https://aws.amazon.com/sns/pricing/",
    )
    QUEUE = Price(
        "SQS",
        0.40,
        1_000_000,
        "request: 64 KB, however many messages",
        "https://aws.amazon.com/sqs/pricing/",
    )
    SECRET = Price(
        "Secrets Manager",
        0.05,
        10_000,
        "API call",
        "https://aws.amazon.com/secrets-manager/pricing/",
    )
    INVOCATIONS = Price(
        "Lambda requests",
        0.20,
        1_000_000,
        "request",
        "https://aws.amazon.com/lambda/pricing/",
    )
    COMPUTE = Price(
        "Lambda arm64",
        0.0000133334,
        1,
        "GB-second",
        "https://aws.amazon.com/lambda/pricing/",
    )
    LOGS = Price(
        "CloudWatch Logs",
        0.50,
        10**9,
        "byte taken in",
        "https://aws.amazon.com/cloudwatch/pricing/",
    )


class Network(Enum):
    """What a network with a fixed address adds; pages as read in November 2026.

    Not part of what the bench counts: it is paid by the hour, whatever is sent.
    """

    GATEWAY_HOURS = Price("NAT gateway", 0.045, 1, "hour", "https://aws.amazon.com/vpc/pricing/")
    GATEWAY_DATA = Price(
        "NAT gateway data", 0.045, 10**9, "byte, either way", "https://aws.amazon.com/vpc/pricing/"
    )
    ADDRESS_HOURS = Price(
        "Public IPv4 address", 0.005, 1, "hour", "https://aws.amazon.com/vpc/pricing/"
    )
    ENDPOINT_HOURS = Price(
        "Interface endpoint",
        0.01,
        1,
        "hour in each zone",
        "https://aws.amazon.com/privatelink/pricing/",
    )
    ENDPOINT_DATA = Price(
        "Interface endpoint data",
        0.01,
        10**9,
        "byte",
        "https://aws.amazon.com/privatelink/pricing/",
    )
