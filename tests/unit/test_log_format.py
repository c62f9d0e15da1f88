"""A line of the log: one JSON object, which Lambda and CloudWatch Logs Insights read."""

import json
import logging
from typing import Any

import pytest

from invitations.observability import JsonFormatter


def line(**fields: Any) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {"msg": "result of %s", "args": ("r1",), "levelname": "INFO", "created": 1_800_000_000.0}
        | {"funcName": "log_result", "lineno": 7}
        | fields
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    read: dict[str, Any] = json.loads(text)
    return read


@pytest.fixture(autouse=True)
def _no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)


def test_says_what_when_and_where() -> None:
    assert line() == {
        "level": "INFO",
        "location": "log_result:7",
        "message": "result of r1",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "service": "partoo-reinvite",
    }


def test_has_the_extra_fields_that_are_known() -> None:
    told = line(user_id="u1", http_status=0, error=None)

    assert (told["user_id"], told["http_status"], "error" in told) == ("u1", 0, False)


def test_tells_of_an_exception() -> None:
    error = RuntimeError("a bug")

    told = line(exc_info=(RuntimeError, error, None))

    assert (told["exception"], told["exception_name"]) == ("RuntimeError: a bug", "RuntimeError")


def test_is_of_one_piece_whatever_a_field_holds() -> None:
    assert line(body="zażółć\n\ud800", cause=object)["body"] == "zażółć\n\ud800"


def test_names_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3f;Parent=53995c3f;Sampled=1")

    assert line()["xray_trace_id"] == "1-5759e988-bd862e3f"
