"""Draws the requests and the faults of a soak from one seed."""

import json
import random
from dataclasses import dataclass, replace

from local.chaos.judge import Trigger
from local.faults import Fault
from local.partoo.control import Answer

_LATE = 2.5
"""Seconds; later than the time-out of the functions' calls, which is 1 s."""

_API_FAULTS = (
    Answer(drop="before"),
    Answer(drop="after"),
    Answer(delay_seconds=_LATE),
    # The e-mail goes out after the time-out.
    Answer(acts_after=_LATE),
    Answer(delay_seconds=_LATE, email=False),
    Answer(status=500, email=True),
    Answer(status=503),
    Answer(status=429, headers={"Retry-After": "2"}),
    Answer(status=401),
    Answer(status=403),
    Answer(status=404),
    # A client that follows it makes a call without a request.
    Answer(status=307, headers={"Location": "/v2/user/elsewhere/invite"}),
    # Not UTF-8.
    Answer(body="\udcff" * 4),
    Answer(body="x" * 1_000_000),
)

_REQUESTS_PER_SECOND = 8
# A short soak must last until its first faults have been used.
_LEAST_SECONDS = 15.0
_REQUESTS_PER_USER = 4
# With fewer users, a short soak would wait long for their windows.
_LEAST_USERS = 60
_FAULTY_CALLS = 1 / 3
_SECONDS_PER_OUTAGE = 5.0
_SECONDS_PER_KILL = 25.0
AWS_SERVICES = ("dynamodb", "sqs", "sns", "secretsmanager")


@dataclass(frozen=True)
class Outage:
    """A period in which calls of the functions to a service fail with a probability."""

    at: float
    seconds: float
    service: str
    fault: Fault
    probability: float


@dataclass(frozen=True)
class Plan:
    """All events of a soak; times are in seconds after its start."""

    seed: int
    users: list[str]
    triggers: list[Trigger]
    answers: list[Answer]
    """Of the API to the first calls."""
    outages: list[Outage]
    kills: list[float]


def draw_plan(seed: int, count: int) -> Plan:
    """Draw a soak of `count` requests; the same seed gives the same plan."""
    rng = random.Random(seed)  # noqa: S311  # not for security
    seconds = max(count / _REQUESTS_PER_SECOND, _LEAST_SECONDS)
    number_of_users = max(count // _REQUESTS_PER_USER, _LEAST_USERS)
    users = [f"user-{number:03}" for number in range(number_of_users)]
    triggers = []
    for number in range(count):
        name, user_id = f"chaos-{seed}-{number:04}", rng.choice(users)
        fields = {"user_id": user_id, "correlation_id": name}
        if rng.random() < 0.4:
            fields["on_active_window"] = "defer"
        # Without a request id, the id of the message counts.
        if has_id := rng.random() < 0.8:
            fields["request_id"] = name
        trigger = Trigger(rng.uniform(0, seconds), name, user_id, json.dumps(fields))
        triggers.append(trigger)
        if has_id and rng.random() < 0.15:
            triggers.append(replace(trigger, at=rng.uniform(trigger.at, seconds)))
    kills = max(round(seconds / _SECONDS_PER_KILL), 1)
    return Plan(
        seed=seed,
        users=users,
        triggers=triggers,
        answers=[
            rng.choice(_API_FAULTS) if rng.random() < _FAULTY_CALLS else Answer()
            for _ in range(count)
        ],
        outages=_outages(rng, seconds),
        kills=[rng.uniform(0.1, 0.9) * seconds for _ in range(kills)],
    )


def _outages(rng: random.Random, seconds: float) -> list[Outage]:
    """Draw an outage of an AWS service for each slot of the time, so that they do not overlap."""
    count = max(round(seconds / _SECONDS_PER_OUTAGE), len(AWS_SERVICES))
    slot = seconds / count
    return [
        Outage(
            at=(number + rng.uniform(0.1, 0.5)) * slot,
            seconds=rng.uniform(0.2, 0.5) * slot,
            service=AWS_SERVICES[number % len(AWS_SERVICES)],
            fault=rng.choice(list(Fault)),
            probability=rng.uniform(0.2, 0.9),
        )
        for number in range(count)
    ]
