"""What a secret may hold, that a malformed one is never quoted, and when it is read."""

import contextlib
import json
import re
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from invitations.api_key import ApiKeys, parse_api_key
from invitations.errors import KeyUnavailableError

CASES = Path(__file__).parents[1] / "cases"
CALLERS = 10


class Secret:
    """A Secrets Manager whose secret may change, fail, or answer slowly."""

    def __init__(self, value: str | None = "key-1") -> None:
        self.value = value
        self.seconds = 0.0
        self.readings = 0
        self._lock = threading.Lock()

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        with self._lock:
            self.readings += 1
        time.sleep(self.seconds)
        if self.value is None:
            raise EndpointConnectionError(endpoint_url="https://secrets.example.com")
        return {"SecretString": self.value}


def keys_of(secret: Secret, max_age_seconds: int = 900) -> ApiKeys:
    return ApiKeys(secret, "arn", max_age_seconds)  # type: ignore[arg-type]  # the one method


def refusal_of(secret: object) -> str:
    with pytest.raises(KeyUnavailableError) as caught:
        parse_api_key(secret)
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


# Forms


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


@pytest.mark.parametrize("key", ["id:secret", "a=b", "key=abc=="])
def test_key_that_resembles_a_line_is_taken_from_json(key: str) -> None:
    assert parse_api_key(json.dumps(key)) == key
    assert parse_api_key(json.dumps({"api_key": key})) == key


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("\ufeff", "it is empty"),
        ('""', "it is empty"),
        ('{"api_key": " "}', "it is empty"),
        (b"hush-hush", "it is binary"),
        ("{}", "it is an object without api_key"),
        ('{"": ""}', "it is an object without api_key"),
        ('{"apiKey": "hush-hush"}', "it is an object without api_key"),
        ('{"api_key": null}', "it is null"),
        ('{"api_key": 5}', "it is a number"),
        ('{"api_key": ["hush-hush"]}', "it is an array"),
        ('{"api_key": {"hush": "hush"}}', "it is an object"),
        ('["hush-hush"]', "it is an array"),
        ('{"api_key": "hush-hush"', "it begins like JSON"),
        ('"hush-hush', "it begins like JSON"),
        ("[hush-hush]", "it begins like JSON"),
        ('{"a":' * 5_000, "it begins like JSON"),
        ("x-APIKey: hush-hush", "a line with a name and a value"),
        ("x-APIKey:hush-hush", "a line with a name and a value"),
        ("PARTOO_API_KEY=hush-hush", "a line with a name and a value"),
        ("export KEY=hush-hush", "a quote or a space"),
        ("api.key = hush-hush", "a line with a name and a value"),
        ("KEY=hush==", "a line with a name and a value"),
        ("'hush-hush'", "a quote or a space"),
        ("“hush-hush”", "a quote or a space"),
        ('{"api_key": "hush hush"}', "a quote or a space"),
        ('{"api_key": "hush\\"hush"}', "a quote or a space"),
        ('"hush\\\\hush"', "a quote or a space"),
        ("hush\nhush", "a quote or a space"),
        ("hush\x00hush", "a quote or a space"),
        ("hush-hüsh", "a quote or a space"),
    ],
)
def test_secret_without_a_usable_key_is_refused_by_its_form_and_not_quoted(
    secret: object, form: str
) -> None:
    refusal = refusal_of(secret)

    assert refusal.startswith("the secret holds no key: ")
    assert form in refusal


def secret_of_case(name: str) -> str:
    document = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    secret: str = document["SecretString"]
    return secret


@pytest.mark.parametrize("name", ["85d-bom-secret", "85i-json-quoted-secret"])
def test_case_of_a_secret_with_a_key_gives_the_key(name: str) -> None:
    assert parse_api_key(secret_of_case(name)) == "k3y-Abc_123"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("85f-json-apiKey-secret", "an object without api_key"),
        ("85k-header-line-secret", "a line with a name and a value"),
        ("85l-array-secret", "an array"),
        ("85p-console-default-secret", "an object without api_key"),
    ],
)
def test_case_of_a_secret_without_a_key_names_the_form(name: str, form: str) -> None:
    with pytest.raises(KeyUnavailableError, match=form) as caught:
        parse_api_key(secret_of_case(name))

    assert "k3y" not in str(caught.value)


def test_error_for_a_broken_document_does_not_lead_to_it() -> None:
    with pytest.raises(KeyUnavailableError) as caught:
        parse_api_key('{"api_key": "hush-hush"')

    assert caught.value.__suppress_context__


printable = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\"), min_size=1
)


@settings(deadline=None)
@given(printable)
def test_any_printable_key_is_taken_from_json(key: str) -> None:
    assert parse_api_key(json.dumps({"api_key": key})) == key
    assert parse_api_key(json.dumps(key)) == key


@settings(deadline=None)
@given(st.text() | st.text().map(lambda key: json.dumps({"api_key": key})))
def test_key_always_fits_into_a_header(secret: str) -> None:
    with contextlib.suppress(KeyUnavailableError):
        assert re.fullmatch("[!-~]+", parse_api_key(secret))


# Readings


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


def test_secret_that_could_never_be_read_is_an_error_that_says_so() -> None:
    with pytest.raises(KeyUnavailableError, match="the secret cannot be read"):
        keys_of(Secret(None)).current()


def test_secret_that_is_mended_is_used_at_once() -> None:
    secret = Secret("x-APIKey: key-1")
    keys = keys_of(secret)
    with pytest.raises(KeyUnavailableError):
        keys.current()
    secret.value = "key-1"

    assert keys.current() == "key-1"


def test_replacement_is_read_afresh_and_becomes_the_current_key() -> None:
    secret = Secret()
    keys = keys_of(secret)
    keys.current()
    secret.value = "key-2"

    assert keys.replacement("key-1") == "key-2"
    assert keys.current() == "key-2"
    assert secret.readings == 2


def test_same_key_in_the_secret_is_no_replacement() -> None:
    keys = keys_of(Secret())
    keys.current()

    assert keys.replacement("key-1") is None


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


@pytest.mark.parametrize(
    ("value", "answer"), [("key-2", "key-2"), ("key-1", None), (None, "unavailable")]
)
def test_threads_whose_calls_were_refused_share_a_reading(
    value: str | None, answer: str | None
) -> None:
    secret = Secret()
    keys = keys_of(secret)
    keys.current()
    secret.value, secret.seconds, secret.readings = value, 0.2, 0
    together = threading.Barrier(CALLERS)

    def ask(_: int) -> str | None:
        together.wait()
        try:
            return keys.replacement("key-1")
        except KeyUnavailableError:
            return "unavailable"

    with ThreadPoolExecutor(CALLERS) as threads:
        assert list(threads.map(ask, range(CALLERS))) == [answer] * CALLERS
    # Those that ask while the first reading is under way share a second one.
    assert secret.readings <= 2
