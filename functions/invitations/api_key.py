"""The API key, from Secrets Manager by way of Powertools' cache."""

import json
import re
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from invitations.errors import KeyUnavailableError
from invitations.shapes import kind_of

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

    def __init__(
        self,
        client: "SecretsManagerClient",
        secret_arn: str,
        max_age_seconds: int = MAX_AGE_SECONDS,
    ) -> None:
        self._provider = SecretsProvider(boto3_client=client)
        self._secret_arn = secret_arn
        self._max_age_seconds = max_age_seconds
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

    def replacement(self, refused: str) -> str | None:
        """Read the secret afresh; return its key if it is not the one that the API refused."""
        # Another thread may have read it since the refused call began.
        fresh = self._last_good
        if fresh in (None, refused):
            fresh = self._read(force=True)
        return None if fresh == refused else fresh

    def _read(self, *, force: bool) -> str:
        try:
            secret = self._provider.get(
                self._secret_arn, max_age=self._max_age_seconds, force_fetch=force
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
    text = secret.removeprefix("\ufeff").strip() if isinstance(secret, str) else secret
    key: object = text
    if isinstance(text, str) and text[:1] in ("{", "[", '"'):
        try:
            key = json.loads(text)
        except (ValueError, RecursionError):
            # Chained, the error would quote the document.
            raise _no_key("it begins like JSON, but is not valid JSON") from None
        if isinstance(key, dict):
            if "api_key" not in key:
                raise _no_key("it is an object without api_key")
            key = key["api_key"]
    elif isinstance(text, str) and _NAME_AND_VALUE.match(text):
        # A key of this form can be put in JSON.
        raise _no_key("it is a line with a name and a value; put in the value alone")
    if isinstance(key, bytes):
        raise _no_key("it is binary; put in a text")
    if not isinstance(key, str):
        raise _no_key(f"it is {kind_of(key)}, not a string or an object with api_key")
    key = key.strip()
    if not key:
        raise _no_key("it is empty")
    # http.client would refuse such a header with an error that quotes it.
    if not re.fullmatch(r"[!-~]+", key) or set(key) & set("\"'\\"):
        raise _no_key("it contains a character that no key has, such as a quote or a space")
    return key


def _no_key(form: str) -> KeyUnavailableError:
    return KeyUnavailableError(f"the secret holds no key: {form}")
