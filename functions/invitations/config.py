"""The configuration, read once from the environment when a container starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from invitations.errors import ConfigurationError

FUNCTION_TIMEOUT_SECONDS = 60
"""How long an execution may last; the template's `Timeout`."""

MAX_PARTOO_TIMEOUT_SECONDS = 20

# Connecting, and saving the result with a table that is slow but alive.
_SAVE_SECONDS = 12

_PLAIN_URL = re.compile(
    r"(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])|http://(127\.0\.0\.1|localhost|\[::1\]))"
    r"(:(?P<port>[1-9][0-9]{0,4}))?(/[A-Za-z0-9._~/-]*)?"
)
_MAX_PORT = 65_535


@dataclass(frozen=True)
class Config:
    """What every function needs; every value is valid, or it would not have been read."""

    partoo_base_url: str
    partoo_timeout_seconds: int
    requests_per_minute: int
    history_days: int
    table_name: str
    result_topic_arn: str
    api_key_secret_arn: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read = Reader(environment)
        return cls(
            partoo_base_url=read.base_url("PARTOO_BASE_URL"),
            partoo_timeout_seconds=read.integer(
                "PARTOO_TIMEOUT_SECONDS", 1, MAX_PARTOO_TIMEOUT_SECONDS
            ),
            requests_per_minute=read.integer("REQUESTS_PER_MINUTE", 1, 10_000),
            # A message can wait 14 days in each of two queues, and only then be redriven.
            history_days=read.integer("HISTORY_DAYS", 30, 3650),
            table_name=read.text("TABLE_NAME"),
            result_topic_arn=read.text("RESULT_TOPIC_ARN"),
            api_key_secret_arn=read.text("API_KEY_SECRET_ARN"),
        )

    @property
    def call_budget_seconds(self) -> float:
        """What must be left of an execution before it begins a call.

        A body that stalls after the head takes the time-out once more.
        """
        return 2 * self.partoo_timeout_seconds + _SAVE_SECONDS


@dataclass(frozen=True)
class ReinviteConfig:
    """What the function that invites needs besides."""

    shared: Config
    invite_window_seconds: int
    max_attempts: int
    user_daily_limit: int
    user_id_path: ParsedResult
    retry_queue_url: str
    bulk_queue_url: str
    dead_letter_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ReinviteConfig":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read = Reader(environment)
        return cls(
            shared=Config.from_environment(environment),
            invite_window_seconds=read.integer("INVITE_WINDOW_SECONDS", 1, 86_400),
            max_attempts=read.integer("MAX_ATTEMPTS", 1, 100),
            user_daily_limit=read.integer("USER_DAILY_LIMIT", 0, 100),
            user_id_path=read.jmespath("USER_ID_PATH"),
            retry_queue_url=read.text("RETRY_QUEUE_URL"),
            bulk_queue_url=read.text("BULK_QUEUE_URL"),
            dead_letter_queue_url=read.text("DEAD_LETTER_QUEUE_URL"),
        )


@dataclass(frozen=True)
class Reader:
    """Reads values; every method raises ConfigurationError, which names the variable."""

    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        value = self.environment.get(name, "").strip()
        if not value:
            raise ConfigurationError(f"{name} is missing")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        text = self.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ConfigurationError(
                f"{name} must be a whole number from {least} to {most}, not {text!r}"
            )
        return int(text)

    def base_url(self, name: str) -> str:
        """https, or http on this machine; nothing in it that could be misread or be a secret."""
        text = self.text(name)
        if "@" in text:
            raise ConfigurationError(f"{name} must not contain credentials")
        url = _PLAIN_URL.fullmatch(text)
        if url is None or int(url["port"] or 443) > _MAX_PORT:
            raise ConfigurationError(
                f"{name} must be https:// with a host and a path, http:// for this machine only, "
                f"not {text!r}"
            )
        return text

    def words(self, name: str, form: str) -> tuple[str, ...]:
        """Comma-separated words of a form; empty: none."""
        words = tuple(filter(None, self.environment.get(name, "").split(",")))
        for word in words:
            if not re.fullmatch(form, word):
                raise ConfigurationError(f"{name} must have words of the form {form}, not {word!r}")
        return words

    def flag(self, name: str) -> bool:
        text = self.text(name)
        if text not in ("true", "false"):
            raise ConfigurationError(f"{name} must be true or false, not {text!r}")
        return text == "true"

    def jmespath(self, name: str) -> ParsedResult:
        text = self.text(name)
        try:
            return jmespath.compile(text)
        except JMESPathError as error:
            raise ConfigurationError(f"{name} is no JMESPath expression: {text!r}") from error
