"""The configuration, read once from the environment when a container starts."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from invitations.errors import ConfigurationError
from invitations.models import ROLES

FUNCTION_TIMEOUT_SECONDS = 60
"""How long an execution may last; the template's `Timeout`."""

MAX_PARTOO_TIMEOUT_SECONDS = 20

# A claim, a call and its record, with every connection of the SDK slow but alive.
_RECORD_BUDGET_SECONDS = 12

_PLAIN_URL = re.compile(
    r"(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])|http://(127\.0\.0\.1|localhost|\[::1\]))"
    r"(:(?P<port>[1-9][0-9]{0,4}))?(/[A-Za-z0-9._~/-]*)?"
)
_MAX_PORT = 65_535


class Config(NamedTuple):
    """What every function needs; every value is valid, or it would not have been read."""

    partoo_base_url: str
    partoo_timeout_seconds: int
    requests_per_minute: int
    history_days: int
    table_name: str
    request_queue_url: str
    result_topic_arn: str
    api_key_secret_arn: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        return _Reader(environment).shared()

    @property
    def call_budget_seconds(self) -> float:
        """What must be left of an execution before it begins a call."""
        return self.partoo_timeout_seconds + _RECORD_BUDGET_SECONDS


class ReinviteConfig(NamedTuple):
    shared: Config
    invite_window_seconds: int
    max_attempts: int
    user_id_path: ParsedResult
    dead_letter_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ReinviteConfig":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read = _Reader(environment)
        return cls(
            shared=read.shared(),
            invite_window_seconds=read.integer("INVITE_WINDOW_SECONDS", 1, 86_400),
            max_attempts=read.integer("MAX_ATTEMPTS", 1, 100),
            user_id_path=read.jmespath("USER_ID_PATH"),
            dead_letter_queue_url=read.text("DEAD_LETTER_QUEUE_URL"),
        )


class SweepConfig(NamedTuple):
    shared: Config
    min_age_hours: int
    max_invites: int
    max_users: int
    roles: tuple[str, ...]
    sweep_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "SweepConfig":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read = _Reader(environment)
        return cls(
            shared=read.shared(),
            min_age_hours=read.integer("SWEEP_MIN_AGE_HOURS", 0, 24 * 365),
            max_invites=read.integer("SWEEP_MAX_INVITES", 1, 1_000),
            max_users=read.integer("SWEEP_MAX_USERS", 0, 10**6),
            roles=read.roles("SWEEP_ROLES"),
            sweep_queue_url=read.text("SWEEP_QUEUE_URL"),
        )


class _Reader(NamedTuple):
    environment: Mapping[str, str]

    def shared(self) -> Config:
        return Config(
            partoo_base_url=self.base_url("PARTOO_BASE_URL"),
            partoo_timeout_seconds=self.integer(
                "PARTOO_TIMEOUT_SECONDS", 1, MAX_PARTOO_TIMEOUT_SECONDS
            ),
            requests_per_minute=self.integer("REQUESTS_PER_MINUTE", 1, 10_000),
            # A message can wait 14 days in each of the two queues, and only then be redriven.
            history_days=self.integer("HISTORY_DAYS", 30, 3650),
            table_name=self.text("TABLE_NAME"),
            request_queue_url=self.text("REQUEST_QUEUE_URL"),
            result_topic_arn=self.text("RESULT_TOPIC_ARN"),
            api_key_secret_arn=self.text("API_KEY_SECRET_ARN"),
        )

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

    def roles(self, name: str) -> tuple[str, ...]:
        """Empty: all."""
        roles = tuple(filter(None, self.environment.get(name, "").split(",")))
        if not set(roles) <= set(ROLES):
            raise ConfigurationError(f"{name} may have {', '.join(ROLES)}, not {roles!r}")
        return roles

    def jmespath(self, name: str) -> ParsedResult:
        text = self.text(name)
        try:
            return jmespath.compile(text)
        except JMESPathError as error:
            raise ConfigurationError(f"{name} is no JMESPath expression: {text!r}") from error
