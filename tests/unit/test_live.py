"""What `make local` shows, and what `make partoo` answers."""

from typing import Any

import pytest

from local.errors import CommandError
from local.fake import answer_of
from local.live import Board, limiter_text, step_of
from local.run import summary

_NOW = 1_000_000.0


def _line(message: str, **fields: Any) -> dict[str, Any]:
    about = {"timestamp": "2026-11-25T20:58:38.178+00:00", "request_id": "r1", "user_id": "u1"}
    return {"message": message, **about, **fields}


_THROTTLED = [
    _line("call failed", answer="429", http_status=429),
    _line("request deferred", delay_seconds=5, cause="throttled"),
    _line("result published", status="sent", reason="invited"),
]


def test_way_of_a_request_goes_from_received_over_deferred_to_sent() -> None:
    said: list[tuple[str, ...]] = []
    board = Board(lambda *cells: said.append(cells))

    board.receive("r1", "u1", "20:58:37")
    board.read(_THROTTLED[0])
    board.read(_THROTTLED[1])
    assert board.statuses == []
    board.read(_THROTTLED[2])

    steps = ["received", "answer 429", "deferred 5 s (throttled)", "sent"]
    assert board.ways["r1"].steps == steps
    assert board.statuses == ["sent"]
    assert said == [
        ("20:58:37", "r1", "u1", steps[0]),
        *[("20:58:38", "r1", "u1", step) for step in steps[1:]],
    ]


def test_request_that_was_never_seen_on_the_queue_is_received_with_its_first_line() -> None:
    board = Board(lambda *_: None)

    board.read(_THROTTLED[2] | {"user_id": None})

    assert (board.ways["r1"].user_id, board.ways["r1"].steps) == ("", ["received", "sent"])


@pytest.mark.parametrize("line", [_line("calls paused"), {}, _line("limiter state not saved")])
def test_other_lines_of_the_log_are_no_steps(line: dict[str, Any]) -> None:
    board = Board(lambda *_: None)

    board.read(line)

    assert board.ways == {}


def test_step_says_why() -> None:
    assert step_of(_line("call failed", answer="unknown")) == "no answer"
    assert step_of(_line("result published", status="skipped", reason="window_active")) == (
        "skipped (window_active)"
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({}, "tokens free"),
        ({"full_at": {"N": "1000002"}}, "tokens full again in 2 s"),
        (
            {"paused_until": {"N": "1000005"}, "pause_reason": {"S": "throttled"}},
            "paused until 13:46:45 (throttled)",
        ),
        ({"paused_until": {"N": "999999"}, "pause_reason": {"S": "throttled"}}, "tokens free"),
        (
            {
                "paused_until": {"N": "1000005"},
                "pause_reason": {"S": "outage"},
                "failures": {"N": "10"},
            },
            "circuit breaker open until 13:46:45 (outage, failures: 10)",
        ),
        (
            {"paused_until": {"N": "1"}, "pause_reason": {"S": "key_refused"}},
            "circuit breaker half-open, one call at a time (key_refused, failures: 0)",
        ),
    ],
)
def test_limiter_text_says_whether_calls_may_leave(item: dict[str, Any], text: str) -> None:
    assert limiter_text(item, _NOW) == text


def test_summary_counts_one_request_in_the_singular() -> None:
    assert summary(["sent"], 1) == "1 request: 1 sent. E-mails at the API: 1."
    assert summary([], 0) == "0 requests: none. E-mails at the API: 0."


def test_answers_of_make_partoo() -> None:
    assert answer_of("429").headers == {"Retry-After": "5"}
    assert (answer_of("500").status, answer_of("500").sends_email) == (500, False)
    assert (answer_of("lost").drop, answer_of("lost").sends_email) == ("after", True)


@pytest.mark.parametrize("text", ["", "wrong", "99", "600", "4x9"])
def test_answer_that_no_server_gives_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(CommandError, match="ANSWER is a status from 200 to 599"):
        answer_of(text)
