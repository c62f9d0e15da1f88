"""What a secret may hold, and that a malformed one is never quoted."""

import contextlib
import json
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invitations.adapters.secrets import parse_api_key
from invitations.errors import KeyUnavailableError


@pytest.mark.parametrize(
    "secret",
    [
        "key-1",
        "  key-1\n",
        '{"api_key": "key-1"}',
        ' {"api_key": " key-1 ", "rotated_at": "2026-11-01"}\n',
    ],
)
def test_the_key_is_the_bare_value_or_a_field_of_a_document(secret: str) -> None:
    assert parse_api_key(secret) == "key-1"


@pytest.mark.parametrize(
    "secret",
    [
        None,
        "",
        " \n",
        "{}",
        '{"key": "hush-hush"}',
        '{"api_key": null}',
        '{"api_key": 5}',
        '{"api_key": ["hush-hush"]}',
        '{"api_key": " "}',
        '{"api_key": "hush-hush"',
        '{"api_key": "hush hush"}',
        "hush\nhush",
        "hush\x00hush",
        "hush-hüsh",
        '{"a":' * 5000,
    ],
)
def test_a_secret_without_a_usable_key_is_refused_and_not_quoted(secret: str | None) -> None:
    with pytest.raises(KeyUnavailableError) as caught:
        parse_api_key(secret)

    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_the_error_for_a_broken_document_does_not_lead_to_it() -> None:
    with pytest.raises(KeyUnavailableError) as caught:
        parse_api_key('{"api_key": "hush-hush"')

    assert caught.value.__suppress_context__


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_printable_key_survives_a_document(key: str) -> None:
    assert parse_api_key(json.dumps({"api_key": key})) == key


@given(st.text() | st.text().map(lambda key: json.dumps({"api_key": key})))
def test_a_key_always_fits_into_a_header(secret: str) -> None:
    with contextlib.suppress(KeyUnavailableError):
        assert re.fullmatch("[!-~]+", parse_api_key(secret))
