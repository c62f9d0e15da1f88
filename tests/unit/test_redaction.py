"""Neither the key nor an address survives in what is logged, whatever the escape."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invitations.redaction import excerpt

KEY = "hush/hush+key=="
ADDRESS = "ada.l+x@example.com"
SECRETS = ["hush", "ada.l", "example.com"]


def escaped_slashes(text: str) -> str:
    return text.replace("/", "\\/")


def percent_encoded(text: str) -> str:
    return quote(text, safe="")


def json_escaped(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


def hex_escaped(text: str) -> str:
    return "".join(f"\\x{ord(each):02X}" for each in text)


def html_named(text: str) -> str:
    return html.escape(text).replace("@", "&commat;").replace("/", "&sol;").replace("+", "&plus;")


def html_numbered(text: str) -> str:
    return "".join(f"&#{ord(each)};" for each in text)


def html_hex(text: str) -> str:
    return "".join(f"&#x{ord(each):x};" for each in text)


def json_string(text: str) -> str:
    return json.dumps(json_escaped(text))


ESCAPES: list[Callable[[str], str]] = [
    str,
    escaped_slashes,
    percent_encoded,
    json_escaped,
    hex_escaped,
    html_named,
    html_numbered,
    html_hex,
    json_string,
]


@pytest.mark.parametrize("inner", ESCAPES)
@pytest.mark.parametrize("outer", ESCAPES)
def test_key_and_address_are_taken_out_also_when_escaped_twice(
    inner: Callable[[str], str], outer: Callable[[str], str]
) -> None:
    text = f'{{"key": "{outer(inner(KEY))}", "to": "{outer(inner(ADDRESS))}"}}'
    plain = excerpt(text, KEY)

    assert [each for each in SECRETS if each in plain] == []
    assert ("[key]" in plain, "[e-mail]" in plain) == (True, True)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (f'{{"key": "{KEY}", "again": "{KEY}"}}', '{"key": "[key]", "again": "[key]"}'),
        ('{"to": "ada.l+x@example.com"}', '{"to": "[e-mail]"}'),
        ("<ada@example.com>, bob@example.com", "<[e-mail]>, [e-mail]"),
        ("mailto:ada@example.com", "mailto:[e-mail]"),
        ("adä@exämple.com", "[e-mail]"),
        ("o'brien@example.com", "[e-mail]"),
        ("ada%40example.com", "[e-mail]"),
        ("ada\\u0040example.com", "[e-mail]"),
        ("ada&#64;example.com", "[e-mail]"),
        ("@ home", "@ home"),
        ("\\ud83d\\ude00 \\ud83d!", "😀 \ufffd!"),
        ('{"status": "success"}', '{"status": "success"}'),
        ("", ""),
    ],
)
def test_all_else_stays_readable(text: str, plain: str) -> None:
    assert excerpt(text, KEY) == plain


@pytest.mark.parametrize("key", ["a%2Fb-c", "a&copy1", "a\\u0041b", "a&amp;b", "%41%42"])
def test_key_that_looks_like_an_escape_is_taken_out(key: str) -> None:
    for escape in ESCAPES:
        assert key not in excerpt(f"<{escape(key)}>", key)
        assert "[key]" in excerpt(f"<{escape(key)}>", key)


def test_key_that_begins_an_escape_with_what_follows_it_is_taken_out() -> None:
    assert excerpt("<hush-%41>", "hush-%4") == "<[key]1>"


def test_text_that_is_escaped_too_often_gives_an_empty_excerpt() -> None:
    text = KEY
    for _ in range(12):
        text = percent_encoded(text)

    assert excerpt(text, KEY) == ""


def test_excerpt_has_at_most_500_characters() -> None:
    assert excerpt("y " * 10_000, KEY) == "y " * 250


@pytest.mark.parametrize("filler", range(480, 501))
def test_end_of_an_excerpt_keeps_no_part_of_the_key(filler: int) -> None:
    assert "hush" not in excerpt("-" * filler + KEY, KEY)


keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@settings(deadline=None)
@given(keys, st.lists(st.sampled_from(ESCAPES), max_size=2))
@example("aaaaaa", [])
def test_any_key_is_taken_out(key: str, escapes: list[Callable[[str], str]]) -> None:
    text = key
    for escape in escapes:
        text = escape(text)

    assert key not in excerpt(f"before {text} after", key)


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_an_excerpt(text: str) -> None:
    assert len(excerpt(text, KEY).encode()) <= 2_000
