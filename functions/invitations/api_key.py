"""The API key, from Secrets Manager by way of Powertools' cache."""

import json
import re
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from invitations.errors import KeyUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

MAX_AGE_SECONDS = 900
"""A key that was revoked is used for no longer than this, even if the API still accepts it."""

# `x-APIKey: …`, `API_KEY=…`; a key in base64 may end with `=`.
_NAME_AND_VALUE = re.compile(r"[\w.-]+\s*(:|=(?!=*$))")


class ApiKeys:
    """The key of a container; every method raises KeyUnavailableError when there is no usable key.

    No error quotes the secret's value, not even a malformed one.
    """

    def __init__(self, client: "SecretsManagerClient", secret_arn: str) -> None:
        self._provider = SecretsProvider(boto3_client=client)
        self._secret_arn = secret_arn
        self._last_good: str | None = None

    def current(self) -> str:
        """Return the key; the last good one while the secret cannot be read or holds none."""
        try:
            # Do not cache a secret without a key.
            return self._read(force=self._last_good is None)
        except KeyUnavailableError:
            if self._last_good is None:
                raise
            return self._last_good

    def is_replaced(self, refused: str) -> bool:
        """Read the secret afresh; return whether it has another key than the API refused."""
        # Another thread may have read it since the refused call began.
        return self._last_good not in (None, refused) or self._read(force=True) != refused

    def _read(self, *, force: bool) -> str:
        try:
            secret = self._provider.get(
                self._secret_arn, max_age=MAX_AGE_SECONDS, force_fetch=force
            )
        except GetParameterError as error:
            raise KeyUnavailableError(f"the secret cannot be read: {error}") from error
        self._last_good = parse_api_key(secret)
        return self._last_good


def parse_api_key(secret: object) -> str:
    """Read the key in a secret: the bare key, a JSON string, or an object with `api_key`.

    Raises KeyUnavailableError, which says what form the value has, when it holds no key that can
    stand in a header.
    """
    text = secret.removeprefix("\ufeff").strip() if isinstance(secret, str) else ""
    form = "a text with a character that no key has" if text else "nothing, or something binary"
    if text.startswith(("{", "[", '"')):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        key = document.get("api_key") if isinstance(document, dict) else document
        if not isinstance(key, str):
            key, form = "", "JSON that is invalid or has no string in api_key"
        text = key.strip()
    elif _NAME_AND_VALUE.match(text):
        # A key of this form can be put in JSON.
        text, form = "", "a line with a name and a value"
    # http.client would refuse another header with an error that quotes it.
    if not re.fullmatch(r"[!-~]+", text) or set(text) & set("\"'\\"):
        raise KeyUnavailableError(
            f"the secret holds no key but {form}; put in the key alone, or in api_key of a JSON "
            "object"
        )
    return text
