"""A redrive moves dead letters to the request queue unchanged."""

import uuid

import pytest

from local.partoo.control import Answer
from ops.deployed import UnknownStackError
from ops.redrive import main, redrive
from tests.e2e.conftest import MAX_ATTEMPTS
from tests.e2e.outside import Outside


@pytest.fixture
def own_aws(brisk_stack: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that `make local` prints."""
    for name, value in brisk_stack.aws.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_failed_request_is_sent_after_a_redrive(
    brisk_stack: Outside, own_aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    user = brisk_stack.invited_user(*[Answer(status=500)] * MAX_ATTEMPTS)
    request_id = brisk_stack.send({"user_id": user})
    assert brisk_stack.result(request_id)["status"] == "failed"
    brisk_stack.wait(lambda: bool(_count(brisk_stack)))
    dead_letters = _count(brisk_stack)
    brisk_stack.published.clear()

    code = main(brisk_stack.stack.name)

    assert code == 0
    assert f": {dead_letters}.\n" in capsys.readouterr().out
    assert brisk_stack.result(request_id)["status"] == "sent"
    assert len(brisk_stack.partoo.emails(user)) == 1


def test_message_keeps_its_body_and_its_attributes(brisk_stack: Outside) -> None:
    sqs = brisk_stack.sqs
    source, destination = (sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"] for _ in "12")
    attributes = {
        "text": {"DataType": "String", "StringValue": "é"},
        "count": {"DataType": "Number.int", "StringValue": "17"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sqs.send_message(QueueUrl=source, MessageBody=" { ", MessageAttributes=attributes)
    for number in range(12):
        sqs.send_message(QueueUrl=source, MessageBody=f"{number}")

    moved = redrive(sqs, source, destination, report=print)

    assert moved == 13
    assert "Messages" not in sqs.receive_message(QueueUrl=source)
    (message,) = sqs.receive_message(QueueUrl=destination, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert (message["Body"], message["MessageAttributes"]) == (" { ", attributes)


def test_unknown_stack_raises(own_aws: None) -> None:
    with pytest.raises(UnknownStackError, match="no-such-stack"):
        main("no-such-stack")


def _count(outside: Outside) -> int:
    attributes = outside.sqs.get_queue_attributes(
        QueueUrl=outside.stack.dead_letter_queue_url,
        AttributeNames=["ApproximateNumberOfMessages"],
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])
