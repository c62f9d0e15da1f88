"""Takes the API key and e-mail addresses out of texts from outside, so that they may be logged."""

import html
import re
from urllib.parse import unquote

_MOST_CHARACTERS = 500
_MOST_ESCAPES = 10
_EMAIL_ADDRESS = re.compile(r"[^\s@\"<>:,;]{1,64}@[^\s@\"'<>,;]+")
_HEX_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")


def excerpt(text: str, api_key: str) -> str:
    """Return the beginning of a text without the key and e-mail addresses.

    Escapes are undone before: JSON's, percent-encoding and HTML's, also inside one another. A text
    with too many of them, one inside another, gives an empty excerpt.
    """
    # A key may itself look like an escape.
    plain = _without_escapes(text.replace(api_key, "[key]"))
    for key in filter(None, (api_key, _without_escapes(api_key))):
        plain = plain.replace(key, "[key]")
    return _EMAIL_ADDRESS.sub("[e-mail]", plain)[:_MOST_CHARACTERS]


def _without_escapes(text: str) -> str:
    for _ in range(_MOST_ESCAPES):
        plain = _HEX_ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
        plain = html.unescape(unquote(plain.replace("\\/", "/")))
        if plain == text:
            # Join surrogate pairs; replace a lone surrogate, because no log can encode it.
            return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = plain
    return ""
