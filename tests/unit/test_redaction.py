"""Neither the key nor an address survives in what is logged, whatever the escape."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from invitations.redaction import excerpt

KEY, ADDRESS = "hush/hush+key==", "ada.l+x@example.com"
SECRETS = ["hush", "ada.l", "example.com"]


def every_character(form: str) -> Callable[[str], str]:
    """An escape that writes every character in one form."""
    return lambda text: "".join(form.format(ord(character)) for character in text)


ESCAPES: dict[str, Callable[[str], str]] = {
    "none": str,
    "slashes": lambda text: text.replace("/", "\\/"),
    "percent": lambda text: quote(text, safe=""),
    "json": every_character("\\u{:04x}"),
    "hex": every_character("\\x{:02X}"),
    "html": every_character("&#{};"),
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
        ("<o'brien@example.com>, mailto:adä@exämple.com", "<[e-mail]>, mailto:[e-mail]"),
        ("@ home", "@ home"),
        ("\\ud83d\\ude00 \\ud83d!", "😀 \ufffd!"),
        # Too many escapes, one inside another.
        (f"<%{'25' * 11}3E", ""),
    ],
)
def test_all_else_stays_readable(text: str, plain: str) -> None:
    assert excerpt(text, KEY) == plain


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("key", ["a%2Fb-c", "a&copy1", "a\\u0041b"])
def test_key_that_looks_like_an_escape_is_taken_out(key: str, escape: str) -> None:
    plain = excerpt(f"<{ESCAPES[escape](key)}>", key)

    assert key not in plain
    assert "[key]" in plain


@pytest.mark.parametrize("filler", [480, 497, 10_000])
def test_excerpt_has_at_most_500_characters_and_no_part_of_the_key(filler: int) -> None:
    plain = excerpt("-" * filler + KEY, KEY)

    assert len(plain) <= 500
    assert "hush" not in plain
