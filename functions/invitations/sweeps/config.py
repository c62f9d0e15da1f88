"""The settings of sweeps, read once from the environment when a container starts."""

from dataclasses import dataclass

from invitations.config import Config, Environment
from invitations.sweeps.criteria import Criteria


@dataclass(frozen=True)
class SweepConfig:
    shared: Config
    criteria: Criteria
    """Where a sweep request names no others."""
    bulk_queue_url: str
    sweep_queue_url: str

    @classmethod
    def from_environment(cls, environment: Environment) -> "SweepConfig":
        """Read the variables; raises KeyError for one that is missing."""
        return cls(
            shared=Config.from_environment(environment),
            criteria=Criteria(
                min_age_hours=int(environment["SWEEP_MIN_AGE_HOURS"]),
                max_invites=int(environment["SWEEP_MAX_INVITES"]),
                max_users=int(environment["SWEEP_MAX_USERS"]),
                roles=_words(environment["SWEEP_ROLES"]),
                org_ids=_words(environment["SWEEP_ORG_IDS"]),
                first_invitation=environment["SWEEP_FIRST_INVITATION"] == "true",
            ),
            bulk_queue_url=environment["BULK_QUEUE_URL"],
            sweep_queue_url=environment["SWEEP_QUEUE_URL"],
        )


def _words(text: str) -> tuple[str, ...]:
    """Return the words that commas separate, each once."""
    return tuple(dict.fromkeys(filter(None, text.split(","))))
