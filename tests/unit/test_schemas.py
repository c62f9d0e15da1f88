"""The published schemas and the code agree.

`tests/reinvite_world.py`, `tests/sweep_world.py` and the e2e tests validate what they see
published, too.
"""

from dataclasses import asdict
from typing import Any

import pytest

from invitations.results import Reason, Result, Source, Status
from tests.documents import schema
from tests.unit.test_requests import read
from tests.unit.test_results import SENT

REQUESTS, RESULTS = schema("request"), schema("result")
PUBLISHED = asdict(SENT)


def test_result_schema_lists_fields_statuses_sources_and_reasons_of_the_code_and_no_other() -> None:
    document: Any = RESULTS.schema
    fields = document["properties"]
    cases = [case["properties"]["status"]["const"] for case in document["oneOf"]]

    assert fields["status"]["enum"] == cases == list(Status)
    assert fields["source"]["enum"] == list(Source)
    assert sorted(fields["reason"]["enum"]) == sorted(Reason)
    assert sorted(document["required"]) == sorted(fields) == sorted(PUBLISHED)


def test_result_schema_refuses_a_result_that_contradicts_itself() -> None:
    RESULTS.validate(PUBLISHED)
    wrong: Any = {"status": "skipped", "http_status": 404, "attempts": 0, "colour": "red"}
    wrong |= dict.fromkeys(("user_id", "window_ends_at", "sent_count"))

    assert [each for each in wrong.items() if RESULTS.is_valid(PUBLISHED | dict([each]))] == []


def is_read(fields: dict[str, Any]) -> bool:
    """Whether each request that the fields ask for can be carried out."""
    asked = read(fields)
    return not isinstance(asked, Result) and all(
        is_read({"user_id": user_id}) for user_id in getattr(asked, "user_ids", [])
    )


TEXTS = ["u1", " u1 ", "", ".", " ..", "x" * 129, " " + "x" * 128 + "\u3000", " " * 200, "skip"]
TEXTS += [f"a{each}b" for each in "\n\x9f\u200b\u2028\ud800\uffff"] + ["\u180eu1", "\x1fu1"]
VALUES = [*TEXTS, None, 7, -1, 10**17, True, [], ["u1"], ["u1", 7], ["u1"] * 1000, ["u1"] * 1001]
MOMENTS = ["2027-01-15", " 2027-01-15T08:00+01:00 ", 1_800_000_000, "tomorrow"]


@pytest.mark.parametrize(
    "name", ["user_id", "user_ids", "request_id", "correlation_id", "on_active_window", "dry_run"]
)
def test_request_schema_accepts_exactly_what_the_code_reads(name: str) -> None:
    requests: list[dict[str, Any]] = [{"user_id": "u1", name: value} for value in VALUES]
    requests += [{name: value} for value in VALUES]
    requests += [{"user_id": "u1", "not_after": value} for value in MOMENTS]

    assert [each for each in requests if REQUESTS.is_valid(each) is not is_read(each)] == []
