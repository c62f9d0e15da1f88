"""What a secret may hold, that a malformed one is never quoted, and when it is read.

tests/integration/test_keys_contract.py reads one from Secrets Manager.
"""

import json
import re
import traceback
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from invitations.api_key import ApiKeys, parse_api_key
from invitations.errors import KeyUnavailableError


class Secret:
    """A Secrets Manager whose secret may change or fail."""

    def __init__(self, value: str | None = "key-1") -> None:
        self.value = value
        self.readings = 0

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        self.readings += 1
        if self.value is None:
            raise EndpointConnectionError(endpoint_url="https://secrets.example.com")
        return {"SecretString": self.value}


def keys_of(secret: Secret, max_age_seconds: int = 900) -> ApiKeys:
    return ApiKeys(secret, "arn", max_age_seconds)  # type: ignore[arg-type]  # the one method


@pytest.mark.parametrize(
    "secret",
    [
        "key-1",
        "  key-1\n",
        "\ufeffkey-1",
        '"key-1"',
        '{"api_key": "key-1"}',
        '\ufeff{"api_key": "key-1"}',
        ' {"api_key": " key-1 ", "rotated_at": "2026-11-01"}\n',
    ],
)
def test_key_is_the_bare_value_a_json_string_or_a_field_of_an_object(secret: str) -> None:
    assert parse_api_key(secret) == "key-1"


@pytest.mark.parametrize("key", ["aGk=", "aGk==", "a.b", "a-b_c~d"])
def test_bare_key_may_have_the_characters_of_base64_and_tokens(key: str) -> None:
    assert parse_api_key(key) == key


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        (" \n", "it is empty"),
        ('{"api_key": " "}', "it is empty"),
        (b"hush-hush", "it is binary"),
        ('{"apiKey": "hush-hush"}', "it is an object without api_key"),
        ('{"api_key": null}', "it is null"),
        ('{"api_key": ["hush-hush"]}', "it is an array"),
        ('{"api_key": "hush-hush"', "it begins like JSON"),
        ('{"a":' * 5_000, "it begins like JSON"),
        ("x-APIKey: hush-hush", "a line with a name and a value"),
        ("PARTOO_API_KEY=hush-hush", "a line with a name and a value"),
        ("export KEY=hush-hush", "a quote or a space"),
        ("'hush-hush'", "a quote or a space"),
        ('{"api_key": "hush hush"}', "a quote or a space"),
        ('{"api_key": "hush\\"hush"}', "a quote or a space"),
        ("hush\nhush", "a quote or a space"),
        ("hush-hüsh", "a quote or a space"),
    ],
)
def test_secret_without_a_usable_key_is_refused_by_its_form_and_not_quoted(
    secret: object, form: str
) -> None:
    with pytest.raises(KeyUnavailableError, match=f"^the secret holds no key: .*{form}") as caught:
        parse_api_key(secret)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@settings(deadline=None)
@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\"), min_size=1
    )
)
def test_any_printable_key_is_taken_from_json(key: str) -> None:
    assert parse_api_key(json.dumps({"api_key": key})) == key
    assert parse_api_key(json.dumps(key)) == key


@settings(deadline=None)
@given(st.text() | st.text().map(lambda key: json.dumps({"api_key": key})))
def test_key_always_fits_into_a_header(secret: str) -> None:
    with suppress(KeyUnavailableError):
        assert re.fullmatch("[!-~]+", parse_api_key(secret))


def test_key_is_read_once_and_kept() -> None:
    secret = Secret()
    keys = keys_of(secret)

    assert [keys.current() for _ in range(3)] == ["key-1"] * 3
    assert secret.readings == 1


@pytest.mark.parametrize("value", [None, "", '{"apiKey": "key-2"}'])
def test_last_good_key_is_used_while_the_secret_cannot_be_read_or_holds_none(
    value: str | None,
) -> None:
    secret = Secret()
    keys = keys_of(secret, max_age_seconds=0)
    keys.current()
    secret.value = value

    assert keys.current() == "key-1"
    secret.value = "key-3"
    assert keys.current() == "key-3"


@pytest.mark.parametrize("value", [None, "x-APIKey: key-1"])
def test_secret_without_a_key_is_an_error_until_it_is_mended(value: str | None) -> None:
    secret = Secret(value)
    keys = keys_of(secret)
    with pytest.raises(KeyUnavailableError):
        keys.current()

    secret.value = "key-1"
    assert keys.current() == "key-1"


@pytest.mark.parametrize(("value", "replacement"), [("key-2", "key-2"), ("key-1", None)])
def test_replacement_is_read_afresh_and_becomes_the_current_key(
    value: str, replacement: str | None
) -> None:
    secret = Secret()
    keys = keys_of(secret)
    keys.current()
    secret.value = value

    assert keys.replacement("key-1") == replacement
    assert keys.current() == value
    assert secret.readings == 2


def test_key_that_was_read_since_the_refused_call_began_is_its_replacement() -> None:
    secret = Secret("key-2")
    keys = keys_of(secret)
    keys.current()

    assert keys.replacement("key-1") == "key-2"
    assert secret.readings == 1


def test_replacement_of_an_unreadable_secret_is_an_error_and_leaves_the_last_good_key() -> None:
    secret = Secret()
    keys = keys_of(secret)
    keys.current()
    secret.value = None

    with pytest.raises(KeyUnavailableError):
        keys.replacement("key-1")
    assert keys.current() == "key-1"
