"""The configuration of sweeps, read once from the environment when a container starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from invitations.config import Config, Reader
from invitations.errors import ConfigurationError
from invitations.sweeps.criteria import MAX_ORGANISATIONS, Criteria


@dataclass(frozen=True)
class SweepConfig:
    shared: Config
    criteria: Criteria
    """Where a sweep request names no others."""
    bulk_queue_url: str
    sweep_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "SweepConfig":
        """Raises ConfigurationError, which names the first value that is missing or malformed."""
        read = Reader(environment)
        criteria = Criteria(
            min_age_hours=read.integer("SWEEP_MIN_AGE_HOURS"),
            max_invites=read.integer("SWEEP_MAX_INVITES"),
            max_users=read.integer("SWEEP_MAX_USERS"),
            roles=read.words("SWEEP_ROLES"),
            org_ids=tuple(dict.fromkeys(read.words("SWEEP_ORG_IDS"))),
            first_invitation=read.flag("SWEEP_FIRST_INVITATION"),
        )
        if len(criteria.org_ids) > MAX_ORGANISATIONS:
            raise ConfigurationError(f"SWEEP_ORG_IDS must have at most {MAX_ORGANISATIONS} ids")
        return cls(
            shared=Config.from_environment(environment),
            criteria=criteria,
            bulk_queue_url=read.text("BULK_QUEUE_URL"),
            sweep_queue_url=read.text("SWEEP_QUEUE_URL"),
        )
