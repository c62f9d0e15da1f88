"""The settings, read once from the environment when a container starts.

The template's parameters have the bounds and patterns of the values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from urllib3.util import parse_url

from invitations.errors import ConfigurationError
from invitations.policy import Policy

# Connecting, and saving the result with a table that is slow but alive.
_SAVE_SECONDS = 12

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Config:
    """The settings that all functions share."""

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
            partoo_timeout_seconds=read.integer("PARTOO_TIMEOUT_SECONDS"),
            requests_per_minute=read.integer("REQUESTS_PER_MINUTE"),
            history_days=read.integer("HISTORY_DAYS"),
            table_name=read.text("TABLE_NAME"),
            result_topic_arn=read.text("RESULT_TOPIC_ARN"),
            api_key_secret_arn=read.text("API_KEY_SECRET_ARN"),
        )

    @property
    def call_budget_seconds(self) -> float:
        """Time that an execution must have left when it begins a call.

        A body that stalls after the head takes the time-out once more.
        """
        return 2 * self.partoo_timeout_seconds + _SAVE_SECONDS


@dataclass(frozen=True)
class ReinviteConfig:
    """The settings of the function that invites."""

    shared: Config
    policy: Policy
    retry_queue_url: str
    bulk_queue_url: str
    dead_letter_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ReinviteConfig":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read, shared = Reader(environment), Config.from_environment(environment)
        return cls(
            shared=shared,
            policy=Policy(
                window_seconds=read.integer("INVITE_WINDOW_SECONDS"),
                max_attempts=read.integer("MAX_ATTEMPTS"),
                user_daily_limit=read.integer("USER_DAILY_LIMIT"),
                user_id_path=read.jmespath("USER_ID_PATH"),
                call_budget_seconds=shared.call_budget_seconds,
            ),
            retry_queue_url=read.text("RETRY_QUEUE_URL"),
            bulk_queue_url=read.text("BULK_QUEUE_URL"),
            dead_letter_queue_url=read.text("DEAD_LETTER_QUEUE_URL"),
        )


@dataclass(frozen=True)
class Reader:
    """Reads variables; every method raises ConfigurationError, which names the variable."""

    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        value = self.environment.get(name, "").strip()
        if not value:
            raise ConfigurationError(f"{name} is missing")
        return value

    def integer(self, name: str) -> int:
        text = self.text(name)
        if not text.isdecimal():
            raise ConfigurationError(f"{name} must be a whole number, not {text!r}")
        return int(text)

    def base_url(self, name: str) -> str:
        """Read a URL with https; http is for this machine only, because the URL gets the key."""
        text = self.text(name)
        url = parse_url(text)
        if url.auth is not None:
            raise ConfigurationError(f"{name} must not contain credentials")
        if url.scheme != "https" and url.host not in _LOOPBACK:
            raise ConfigurationError(f"{name} must begin with https://, not {text!r}")
        return text

    def words(self, name: str) -> tuple[str, ...]:
        """Read words that commas separate; empty: none."""
        return tuple(filter(None, self.environment.get(name, "").split(",")))

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
