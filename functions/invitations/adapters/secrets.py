"""The API key, from Secrets Manager."""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import KeyUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


# A key that was taken back is used for no longer than this, even if the API still accepts it.
MAX_AGE_SECONDS = 900


class SecretsManagerApiKeys:
    """One key for each container, read again when the API refuses it or it has grown old.

    A batch asks side by side: the first to come reads for all who were waiting, and when it
    fails, it fails for all, or they would fail one after another until the execution's end.
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
        self._failure: KeyUnavailableError | None = None
        self._failed_at = 0.0

    def current(self) -> str:
        asked_at = self._clock()
        try:
            return self._read_since(asked_at - MAX_AGE_SECONDS, asked_at)
        except KeyUnavailableError:
            if self._key is None:
                raise
            # The one that was good until now may be good for another while.
            self._read_at = asked_at
            return self._key

    def refreshed(self, since: float) -> str:
        return self._read_since(since, self._clock())

    def _read_since(self, since: float, asked_at: float) -> str:
        with self._lock:
            if self._key is not None and self._read_at > since:
                return self._key
            if self._failure is not None and self._failed_at > asked_at:
                raise KeyUnavailableError(str(self._failure)) from self._failure
            read_at = self._clock()
            try:
                self._key = self._read()
            except KeyUnavailableError as error:
                self._failure, self._failed_at = error, self._clock()
                raise
            self._read_at = read_at
            return self._key

    def _read(self) -> str:
        try:
            value = self._client.get_secret_value(SecretId=self._secret_arn)
        except (BotoCoreError, ClientError) as error:
            raise KeyUnavailableError(f"the secret cannot be read: {error}") from error
        return parse_api_key(value.get("SecretString"))


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
