"""A redrive moves dead letters to the request queue unchanged."""

import uuid
from typing import Any

import pytest

from local.errors import CommandError
from local.partoo.control import Answer
from ops.redrive import main, redrive
from tests.e2e.conftest import MAX_ATTEMPTS
from tests.e2e.outside import Outside


@pytest.fixture
def aws_environment(brisk_stack: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that `make local` prints."""
    for name, value in brisk_stack.aws.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_failed_request_rests_untouched_and_is_sent_after_a_redrive(
    brisk_stack: Outside, aws_environment: None, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each is followed by a wait of seconds, whereas an unknown outcome doubles the window.
    user = brisk_stack.invited_user(*[Answer(status=307)] * MAX_ATTEMPTS)
    body = f'{{"user_id": "{user}",   "note": "untouched"}}'
    request = brisk_stack.send(body)
    failed = brisk_stack.result(request)
    dead_letters = _dead_letters(brisk_stack)
    brisk_stack.published.clear()

    code = main(brisk_stack.stack.name)

    assert (failed["status"], failed["reason"]) == ("failed", "attempts_exhausted")
    assert (failed["http_status"], failed["attempts"]) == (307, MAX_ATTEMPTS)
    assert dead_letters[body]["reason"]["StringValue"] == "attempts_exhausted"
    assert code == 0
    assert f": {len(dead_letters)}.\n" in capsys.readouterr().out
    assert brisk_stack.result(request)["status"] == "sent"
    assert len(brisk_stack.partoo.calls(user)) == MAX_ATTEMPTS + 1


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


def test_unknown_stack_raises(aws_environment: None) -> None:
    with pytest.raises(CommandError, match="no-such-stack"):
        main("no-such-stack")


def _dead_letters(outside: Outside) -> dict[str, Any]:
    """The attributes of the messages in the dead-letter queue, by body; they stay there."""
    found: dict[str, Any] = {}

    def is_there() -> bool:
        answer = outside.sqs.receive_message(
            QueueUrl=outside.stack.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        )
        found.update(
            (each["Body"], each["MessageAttributes"]) for each in answer.get("Messages", [])
        )
        return bool(found)

    outside.wait(is_there)
    return found
