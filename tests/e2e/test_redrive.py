"""A redrive moves dead letters to the request queue unchanged."""

import uuid

import pytest

from local.partoo.control import Answer
from ops.redrive import main, redrive
from tests.e2e.conftest import MAX_ATTEMPTS
from tests.e2e.outside import Outside


def test_failed_request_rests_untouched_and_is_sent_after_a_redrive(
    brisk_stack: Outside, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in brisk_stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    brisk_stack.sqs.purge_queue(QueueUrl=brisk_stack.stack.dead_letter_queue_url)
    # Each is followed by a wait of seconds, whereas an unknown outcome doubles the window.
    user = brisk_stack.invited_user(*[Answer(status=307)] * MAX_ATTEMPTS)
    body = f'{{"user_id": "{user}",   "note": "untouched"}}'
    request = brisk_stack.send(body)
    failed = brisk_stack.result(request)
    brisk_stack.wait(lambda: body in _dead_letters(brisk_stack))
    brisk_stack.published.clear()

    code = main(brisk_stack.stack.name)

    assert (failed["status"], failed["reason"]) == ("failed", "attempts_exhausted")
    assert (failed["http_status"], failed["attempts"]) == (307, MAX_ATTEMPTS)
    assert (code, ": 1.\n" in capsys.readouterr().out) == (0, True)
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


def _dead_letters(stack: Outside) -> list[str]:
    """Return the bodies of up to ten dead letters, which stay in their queue."""
    answer = stack.sqs.receive_message(
        QueueUrl=stack.stack.dead_letter_queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [each["Body"] for each in answer.get("Messages", [])]
