"""The settings, read once from the environment when a container starts.

The template sets each variable; its parameters have the bounds and patterns of the values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jmespath

from invitations.policy import Policy

# Connecting, and saving the result with a table that is slow but alive.
_SAVE_SECONDS = 12

Environment = Mapping[str, str]


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
    def from_environment(cls, environment: Environment) -> "Config":
        """Read the variables; raises KeyError for one that is missing."""
        return cls(
            partoo_base_url=environment["PARTOO_BASE_URL"],
            partoo_timeout_seconds=int(environment["PARTOO_TIMEOUT_SECONDS"]),
            requests_per_minute=int(environment["REQUESTS_PER_MINUTE"]),
            history_days=int(environment["HISTORY_DAYS"]),
            table_name=environment["TABLE_NAME"],
            result_topic_arn=environment["RESULT_TOPIC_ARN"],
            api_key_secret_arn=environment["API_KEY_SECRET_ARN"],
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
    def from_environment(cls, environment: Environment) -> "ReinviteConfig":
        """Read the variables; raises KeyError for one that is missing, or jmespath's ParseError."""
        shared = Config.from_environment(environment)
        policy = Policy(
            window_seconds=int(environment["INVITE_WINDOW_SECONDS"]),
            max_attempts=int(environment["MAX_ATTEMPTS"]),
            user_daily_limit=int(environment["USER_DAILY_LIMIT"]),
            user_id_path=jmespath.compile(environment["USER_ID_PATH"]),
            call_budget_seconds=shared.call_budget_seconds,
        )
        return cls(
            shared=shared,
            policy=policy,
            retry_queue_url=environment["RETRY_QUEUE_URL"],
            bulk_queue_url=environment["BULK_QUEUE_URL"],
            dead_letter_queue_url=environment["DEAD_LETTER_QUEUE_URL"],
        )
