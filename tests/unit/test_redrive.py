"""A redrive with the message move task of SQS."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from local.errors import CommandError
from ops import redrive

SOURCE, DESTINATION = "https://sqs/dead", "https://sqs/requests"


@pytest.fixture
def sqs() -> Any:
    return boto3.client(
        "sqs", region_name="eu-west-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )


@pytest.fixture
def answers(sqs: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Stubbed answers; a redrive asks for both ARNs first."""
    monkeypatch.setattr(redrive, "_POLL_SECONDS", 0)
    with Stubber(sqs) as stubber:
        for url, arn in ((SOURCE, "arn:dead"), (DESTINATION, "arn:requests")):
            stubber.add_response(
                "get_queue_attributes",
                {"Attributes": {"QueueArn": arn}},
                {"QueueUrl": url, "AttributeNames": ["QueueArn"]},
            )
        yield stubber


def test_move_task_gets_source_and_destination_and_reports_its_count(
    sqs: Any, answers: Stubber
) -> None:
    _start(answers)
    _task(answers, Status="RUNNING", ApproximateNumberOfMessagesMoved=3)
    _task(answers, Status="COMPLETED", ApproximateNumberOfMessagesMoved=8)
    progress: list[int] = []

    moved = redrive.redrive(sqs, SOURCE, DESTINATION, report=progress.append)

    assert (progress, moved) == ([3], 8)
    answers.assert_no_pending_responses()


def test_failed_move_task_raises_with_its_reason(sqs: Any, answers: Stubber) -> None:
    _start(answers)
    _task(answers, Status="FAILED", FailureReason="AccessDenied")

    with pytest.raises(CommandError, match="AccessDenied"):
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
