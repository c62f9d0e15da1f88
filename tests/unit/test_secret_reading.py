"""A batch asks for the key side by side: one reading answers all of them, also when it fails."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from botocore.exceptions import EndpointConnectionError

from invitations.adapters.secrets import SecretsManagerApiKeys
from invitations.errors import KeyUnavailableError

CALLERS = 5


class SlowSecret:
    """Answers when it is told to, with a key or with an error."""

    def __init__(self, key: str | None) -> None:
        self.readings = 0
        self.may_answer = Event()
        self._key = key

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        self.readings += 1
        self.may_answer.wait(timeout=10)
        if self._key is None:
            raise EndpointConnectionError(endpoint_url="https://secrets.example.com")
        return {"SecretString": self._key}


def asked_together(secret: SlowSecret) -> list[str]:
    keys = SecretsManagerApiKeys(secret, "arn", time.time)  # type: ignore[arg-type]  # the one method
    asked = []

    def ask(_: int) -> str:
        asked.append(time.time())
        if len(asked) == CALLERS:
            secret.may_answer.set()
        try:
            return keys.current()
        except KeyUnavailableError:
            return "unavailable"

    with ThreadPoolExecutor(CALLERS) as executor:
        return list(executor.map(ask, range(CALLERS)))


def test_one_reading_is_enough_for_a_batch() -> None:
    secret = SlowSecret("key-1")

    assert asked_together(secret) == ["key-1"] * CALLERS
    assert secret.readings == 1


def test_one_failure_is_enough_for_a_batch() -> None:
    secret = SlowSecret(None)

    assert asked_together(secret) == ["unavailable"] * CALLERS
    assert secret.readings <= 2
