"""What the fault proxy does to calls of the SDK, and which of them reach AWS."""

from contextlib import AbstractContextManager, nullcontext

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from local.aws import LocalAws
from local.faults import Fault, FaultProxy


@pytest.mark.parametrize(
    ("outage", "read_timeout", "outcome", "arrived"),
    [
        (None, 60, nullcontext(), ["é & co"]),
        (("sns", Fault.REFUSE, 1.0), 60, nullcontext(), ["é & co"]),
        (("sqs", Fault.REFUSE, 0.0), 60, nullcontext(), ["é & co"]),
        (("sqs", Fault.REFUSE, 1.0), 60, pytest.raises(ClientError), []),
        (("sqs", Fault.LOSE_REPLY, 1.0), 60, pytest.raises(ConnectionClosedError), ["é & co"]),
        (("sqs", Fault.HANG, 1.0), 0.2, pytest.raises(ReadTimeoutError), []),
    ],
)
def test_call_passes_unchanged_unless_an_outage_concerns_its_service(
    aws: LocalAws,
    name: str,
    outage: tuple[str, Fault, float] | None,
    read_timeout: float,
    outcome: AbstractContextManager[object],
    arrived: list[str],
) -> None:
    queue_url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    with FaultProxy() as proxy:
        proxy.forward_to(aws.endpoint_url, aws.ca)
        proxy.outage = outage
        sqs = boto3.client(
            "sqs",
            endpoint_url=proxy.url,
            region_name="eu-west-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="local",
            config=Config(read_timeout=read_timeout, retries={"total_max_attempts": 1}),
        )
        with outcome as failure:
            sqs.send_message(QueueUrl=queue_url, MessageBody="é & co")

    assert [message["Body"] for message in aws.receive(queue_url)] == arrived
    assert proxy.injected.total() == (failure is not None)
