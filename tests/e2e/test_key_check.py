"""The daily check of the key, as it is deployed: what it asks, what it says, what it writes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.partoo.control import ApiKey
from tests.e2e.outside import Outside

_KEY = "e2e-default-key"


@pytest.fixture
def key_stack(stack: Outside) -> Iterator[Outside]:
    """A stack whose key is afterwards as it was."""
    yield stack
    stack.partoo.set_key(_KEY)


def test_a_key_that_expires_soon_is_told(key_stack: Outside) -> None:
    day = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    key_stack.partoo.add_key(ApiKey(_KEY, day))

    answer, line, written = _check(key_stack)

    assert (answer["expires_on"], answer["days_left"], answer["reason"]) == (day, 5, None)
    assert (line["level"], line["expires_on"]) == ("WARNING", day)
    assert written == {"KeyDaysLeft": 5, "KeyExpiresSoon": 1, "KeyExpiryUnknown": 0}


def test_a_key_that_may_not_list_itself_is_told_and_works_as_before(key_stack: Outside) -> None:
    key_stack.partoo.add_key(ApiKey(_KEY, may_list=False))

    answer, line, written = _check(key_stack)

    assert (answer["reason"], answer["http_status"]) == ("key_list_refused", 403)
    assert (line["level"], line["reason"]) == ("WARNING", "key_list_refused")
    assert written == {"KeyExpiryUnknown": 1}
    result = key_stack.invoke({"user_id": key_stack.invited_user()})["results"][0]
    assert result["status"] == "sent"


def test_the_key_is_in_one_header_and_in_no_line_of_the_log(key_stack: Outside) -> None:
    before = len(key_stack.partoo.calls(operation="keys"))

    _check(key_stack)

    (call,) = key_stack.partoo.calls(operation="keys")[before:]
    assert (call.key, call.path) == ("right", "/v2/api_keys?status=active&per_page=100")
    assert _KEY not in key_stack.logs()


def test_the_schedule_starts_it(key_stack: Outside) -> None:
    schedules = key_stack.aws.client("scheduler")
    (found,) = [
        each
        for each in schedules.list_schedules()["Schedules"]
        if key_stack.stack.check_key_function_name in each["Target"]["Arn"]
    ]
    daily = schedules.get_schedule(Name=found["Name"], GroupName=found["GroupName"])
    before = len(key_stack.partoo.calls(operation="keys"))

    # Another with its target: the local AWS forgets a moment of one that it has seen with a cron.
    schedules.create_schedule(
        Name="at-once",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        Target=daily["Target"],
        FlexibleTimeWindow=daily["FlexibleTimeWindow"],
    )
    key_stack.wait(lambda: len(key_stack.partoo.calls(operation="keys")) > before)
    schedules.delete_schedule(Name="at-once")

    assert daily["State"] == "ENABLED"
    assert daily["ScheduleExpression"] == "cron(17 5 * * ? *)"


def _check(stack: Outside) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Make a check; its answer, its line in the log, and its metrics."""
    before = len(_lines(stack, "KeyExpiryUnknown"))
    answer = stack.check_key()
    # The metrics come last.
    stack.wait(lambda: len(_lines(stack, "KeyExpiryUnknown")) > before)
    written = _lines(stack, "KeyExpiryUnknown")[-1]
    metrics = {name: each[0] for name, each in written.items() if name.startswith("Key")}
    return answer, _lines(stack, "message", "key checked")[-1], metrics


def _lines(stack: Outside, field: str, value: str | None = None) -> list[dict[str, Any]]:
    """The lines of the log that have a field."""
    group = f"/aws/lambda/{stack.stack.name}-check-key"
    events = stack.aws.client("logs").filter_log_events(logGroupName=group)["events"]
    texts = [each["message"] for each in events if f'"{field}"' in each["message"]]
    lines = [json.loads(text[text.index("{") :]) for text in texts]
    return [line for line in lines if field in line and value in (None, line[field])]
