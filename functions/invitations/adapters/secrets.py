"""The API key, from Secrets Manager."""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import KeyUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


class SecretsManagerApiKeys:
    """One key for each container, read again only when the API refuses it.

    No message here quotes the secret's value, not even a malformed one.
    """

    def __init__(
        self, client: "SecretsManagerClient", secret_arn: str, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self._clock = clock
        self._lock = threading.Lock()
        self._key: str | None = None
        self._read_at = 0.0

    def current(self) -> str:
        with self._lock:
            return self._key or self._read()

    def refreshed(self, since: float) -> str:
        with self._lock:
            # A batch's calls are refused side by side: the first to come reads for all.
            if self._key is not None and self._read_at > since:
                return self._key
            return self._read()

    def _read(self) -> str:
        read_at = self._clock()
        try:
            value = self._client.get_secret_value(SecretId=self._secret_arn)
        except (BotoCoreError, ClientError) as error:
            raise KeyUnavailableError(f"the secret cannot be read: {error}") from error
        self._key = parse_api_key(value.get("SecretString"))
        self._read_at = read_at
        return self._key


def parse_api_key(secret: str | None) -> str:
    """The key in a secret's value: the bare key, or JSON with `api_key`.

    Raises KeyUnavailableError when it holds none that can stand in a header.
    """
    key: object = (secret or "").strip()
    if isinstance(key, str) and key.startswith("{"):
        try:
            key = json.loads(key).get("api_key")
        except (ValueError, RecursionError):
            # Chained, the error would quote the document.
            raise KeyUnavailableError("the secret's value is not valid JSON") from None
    if not isinstance(key, str) or not key.strip():
        raise KeyUnavailableError("the secret holds no key: neither a bare one nor `api_key`")
    key = key.strip()
    # http.client would refuse such a header with an error that quotes it.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise KeyUnavailableError("the key in the secret has characters that no header may have")
    return key
