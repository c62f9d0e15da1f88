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
        (b"hush", "it is binary"),
        (" \n", "it is empty"),
        ('{"api_key": " "}', "it is empty"),
        ('{"api_key": null}', "it is null"),
        ('{"api_key": "hush-hush"', "it begins like JSON"),
        ("PARTOO_API_KEY=hush-hush", "a line with a name and a value"),
        ("export KEY=hush-hush", "a quote or a space"),
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


@pytest.fixture
def secrets() -> Any:
    """The fake of Secrets Manager."""
    return World()


def test_key_is_kept_until_it_is_old_or_refused(secrets: Any) -> None:
    kept, aged = ApiKeys(secrets, "arn"), ApiKeys(secrets, "arn", max_age_seconds=0)
    assert (kept.current(), aged.current()) == ("key-1", "key-1")

    secrets.secret = "key-2"
    assert (kept.current(), aged.current()) == ("key-1", "key-2")
    assert (kept.replacement("key-1"), kept.current()) == ("key-2", "key-2")
    assert kept.replacement("key-2") is None


def test_last_good_key_is_used_while_the_secret_holds_none_or_cannot_be_read(secrets: Any) -> None:
    keys = ApiKeys(secrets, "arn", max_age_seconds=0)
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
