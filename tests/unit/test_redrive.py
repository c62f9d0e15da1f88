"""A redrive by the queue's own move task, as AWS answers."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from local import redrive
from local.redrive import NotRedrivenError

SOURCE, DESTINATION = "https://sqs/dead", "https://sqs/requests"


@pytest.fixture
def sqs() -> Any:
    return boto3.client(
        "sqs", region_name="eu-west-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )


@pytest.fixture
def answers(sqs: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The answers that are yet to come; a task has been started."""
    monkeypatch.setattr(redrive, "_POLL_SECONDS", 0)
    with Stubber(sqs) as stubber:
        for url, arn in ((SOURCE, "arn:dead"), (DESTINATION, "arn:requests")):
            stubber.add_response(
                "get_queue_attributes",
                {"Attributes": {"QueueArn": arn}},
                {"QueueUrl": url, "AttributeNames": ["QueueArn"]},
            )
        yield stubber


def test_the_queues_own_task_moves_the_messages_to_the_queue_that_is_named(
    sqs: Any, answers: Stubber
) -> None:
    _start(answers)
    _task(answers, Status="RUNNING", ApproximateNumberOfMessagesMoved=3)
    _task(answers, Status="COMPLETED", ApproximateNumberOfMessagesMoved=8)
    progress: list[int] = []

    moved = redrive.redrive(sqs, SOURCE, DESTINATION, report=progress.append)

    assert (progress, moved) == ([3], 8)
    answers.assert_no_pending_responses()


def test_a_task_that_fails_is_told_with_its_reason(sqs: Any, answers: Stubber) -> None:
    _start(answers)
    _task(answers, Status="FAILED", FailureReason="AccessDenied")

    with pytest.raises(NotRedrivenError, match="AccessDenied"):
        redrive.redrive(sqs, SOURCE, DESTINATION, report=print)


def _start(answers: Stubber) -> None:
    answers.add_response(
        "start_message_move_task",
        {"TaskHandle": "handle"},
        {"SourceArn": "arn:dead", "DestinationArn": "arn:requests"},
    )


def _task(answers: Stubber, **fields: object) -> None:
    answers.add_response(
        "list_message_move_tasks", {"Results": [fields]}, {"SourceArn": "arn:dead"}
    )
