"""Neither the key nor an address survives in what is logged, whatever the escape."""

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from invitations.redaction import excerpt

KEY = "hush/hush+key=="
ADDRESS = "ada.l+x@example.com"
SECRETS = ["hush", "ada.l", "example.com"]


def every_character(form: str) -> Callable[[str], str]:
    """An escape that writes every character in one form."""
    return lambda text: "".join(form.format(ord(character)) for character in text)


def html_named(text: str) -> str:
    return html.escape(text).replace("@", "&commat;").replace("/", "&sol;").replace("+", "&plus;")


ESCAPES: dict[str, Callable[[str], str]] = {
    "none": str,
    "slashes": lambda text: text.replace("/", "\\/"),
    "percent": lambda text: quote(text, safe=""),
    "json": every_character("\\u{:04x}"),
    "hex": every_character("\\x{:02X}"),
    "html, named": html_named,
    "html, numbered": every_character("&#{};"),
    "html, hex": every_character("&#x{:x};"),
    "json string": lambda text: json.dumps(every_character("\\u{:04x}")(text)),
}


@pytest.mark.parametrize("inner", ESCAPES)
@pytest.mark.parametrize("outer", ESCAPES)
def test_key_and_address_are_taken_out_also_when_escaped_twice(inner: str, outer: str) -> None:
    key, address = (ESCAPES[outer](ESCAPES[inner](text)) for text in (KEY, ADDRESS))

    plain = excerpt(f'{{"key": "{key}", "to": "{address}"}}', KEY)

    assert [secret for secret in SECRETS if secret in plain] == []
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


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("key", ["a%2Fb-c", "a&copy1", "a\\u0041b", "a&amp;b", "%41%42"])
def test_key_that_looks_like_an_escape_is_taken_out(key: str, escape: str) -> None:
    plain = excerpt(f"<{ESCAPES[escape](key)}>", key)

    assert key not in plain
    assert "[key]" in plain


def test_key_that_begins_an_escape_with_what_follows_it_is_taken_out() -> None:
    assert excerpt("<hush-%41>", "hush-%4") == "<[key]1>"


def test_text_that_is_escaped_too_often_gives_an_empty_excerpt() -> None:
    text = f"<%{'25' * 11}3E"

    assert excerpt(text, KEY) == ""


@pytest.mark.parametrize("filler", [480, 497, 500, 10_000])
def test_excerpt_has_at_most_500_characters_and_no_part_of_the_key(filler: int) -> None:
    plain = excerpt("-" * filler + KEY, KEY)

    assert len(plain) <= 500
    assert "hush" not in plain


def test_one_long_word_costs_no_time() -> None:
    started = time.thread_time()

    assert excerpt("x" * 16_000, KEY) == "x" * 500
    assert time.thread_time() - started < 0.5


keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


@settings(deadline=None)
@given(keys, st.lists(st.sampled_from([*ESCAPES.values()]), max_size=2), st.text())
@example("aaaaaa", [], "")
def test_any_key_is_taken_out_of_any_text(
    key: str, escapes: list[Callable[[str], str]], around: str
) -> None:
    text = key
    for escape in escapes:
        text = escape(text)

    assert key not in excerpt(f"before {text} after", key)
    assert len(excerpt(around, key)) <= 500
