"""What a secret may hold, that a malformed one is never quoted, and when it is read."""

import json
import traceback
from typing import Any

import pytest

from invitations.api_key import ApiKeys, parse_api_key
from invitations.errors import KeyUnavailableError
from tests.reinvite_world import World

PRINTABLE = "".join(map(chr, sorted({*range(33, 127)} - {*map(ord, "\"'\\")})))


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("  key-1\n", "key-1"),
        ('\ufeff{"api_key": "key-1"}', "key-1"),
        (' {"api_key": " key-1 ", "rotated_at": "2026-11-01"}\n', "key-1"),
        # Base64, and a token.
        *[(each, each) for each in ("aGk=", "aGk==", "a.b", "a-b_c~d")],
        (json.dumps({"api_key": PRINTABLE}), PRINTABLE),
    ],
)
def test_key_is_the_bare_value_a_json_string_or_a_field_of_an_object(secret: str, key: str) -> None:
    assert parse_api_key(secret) == key


@pytest.mark.parametrize(
    ("secret", "form"),
    # tests/e2e/test_cases.py has more of them.
    [
        (b"hush", "something binary"),
        (" \n", "nothing"),
        ('{"api_key": " "}', "a character that no key has"),
        ('{"api_key": null}', "no string in api_key"),
        ('{"api_key": "hush-hush"', "JSON that is invalid"),
        ("PARTOO_API_KEY=hush-hush", "a line with a name and a value"),
        ("export KEY=hush-hush", "a character that no key has"),
        ('{"api_key": "hush\\"hush"}', "a character that no key has"),
        ("hush\nhush", "a character that no key has"),
        ("hush-hüsh", "a character that no key has"),
    ],
)
def test_secret_without_a_usable_key_is_refused_by_its_form_and_not_quoted(
    secret: object, form: str
) -> None:
    with pytest.raises(
        KeyUnavailableError, match=f"^the secret holds no key but.*{form}"
    ) as caught:
        parse_api_key(secret)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def secrets() -> Any:
    """The fake of Secrets Manager."""
    return World()


@pytest.fixture
def _keys_are_old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invitations.api_key.MAX_AGE_SECONDS", 0)


def test_key_is_kept_until_it_is_refused(secrets: Any) -> None:
    keys = ApiKeys(secrets, "arn")
    assert keys.current() == "key-1"

    secrets.secret = "key-2"
    assert keys.current() == "key-1"
    assert (keys.is_replaced("key-1"), keys.current()) == (True, "key-2")
    assert not keys.is_replaced("key-2")


@pytest.mark.usefixtures("_keys_are_old_at_once")
def test_last_good_key_is_used_while_the_secret_holds_none_or_cannot_be_read(secrets: Any) -> None:
    keys = ApiKeys(secrets, "arn")
    secrets.secret = "x-APIKey: key-1"
    with pytest.raises(KeyUnavailableError):
        keys.current()

    secrets.secret = "key-1"
    assert keys.current() == "key-1"
    secrets.secret = ""
    assert keys.current() == "key-1"
    secrets.steps.fail("secret.read")
    assert keys.current() == "key-1"
    secrets.secret = "key-2"
    assert keys.current() == "key-2"
