"""Draws the requests and the faults of a soak from one seed."""

import json
import random
from dataclasses import dataclass, replace

from local.faults import Fault
from local.partoo.control import Answer

_LATE = 2.5
"""Seconds; later than the time-out of the functions' calls, which is 1 s."""

API_FAULTS = {
    "lost before the e-mail": Answer(drop="before"),
    "lost after the e-mail": Answer(drop="after"),
    "late answer, e-mail sent": Answer(delay_seconds=_LATE),
    "e-mail after the time-out": Answer(acts_after=_LATE),
    "late answer, no e-mail": Answer(delay_seconds=_LATE, email=False),
    "interim answers, e-mail sent": Answer(interim=(102, 103)),
    "interim answer, then nothing": Answer(interim=(102,), drop="after"),
    "500, e-mail sent": Answer(status=500, email=True),
    "503, no e-mail": Answer(status=503),
    "429": Answer(status=429, headers={"Retry-After": "2"}),
    "401 with the right key": Answer(status=401),
    "403": Answer(status=403),
    "404": Answer(status=404),
    # A client that follows it makes a call without a request.
    "redirect": Answer(status=307, headers={"Location": "/v2/user/elsewhere/invite"}),
    "200, unreadable body": Answer(body="\udcff" * 4),
    "200, body of 1 MB": Answer(body="x" * 1_000_000),
}

_REQUESTS_PER_SECOND = 8
# A short soak must last until its first faults have been used.
_LEAST_SECONDS = 15.0
_REQUESTS_PER_USER = 4
# With fewer users, a short soak would wait long for their windows.
_LEAST_USERS = 60
_FAULTY_CALLS = 1 / 3
_SECONDS_PER_OUTAGE = 5.0
_SECONDS_PER_KILL = 25.0
_AWS_SERVICES = ("dynamodb", "sqs", "sns", "secretsmanager")


@dataclass(frozen=True)
class PlannedRequest:
    """A request that is sent `at` seconds after the start; its text contains its name.

    Two with the same name are one request that is sent twice. `faults`: the answers to the user's
    next calls, as names in `API_FAULTS`.
    """

    at: float
    name: str
    user_id: str
    request_id: str | None
    text: str
    faults: tuple[str, ...] = ()


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
    users: tuple[str, ...]
    requests: tuple[PlannedRequest, ...]
    outages: tuple[Outage, ...]
    kills: tuple[float, ...]


def draw_plan(seed: int, count: int) -> Plan:
    """Draw a soak of `count` requests; the same seed gives the same plan."""
    rng = random.Random(seed)  # noqa: S311  # not for security
    seconds = max(count / _REQUESTS_PER_SECOND, _LEAST_SECONDS)
    number_of_users = max(count // _REQUESTS_PER_USER, _LEAST_USERS)
    users = tuple(f"user-{number:03}" for number in range(number_of_users))
    requests = [
        _request(rng, f"chaos-{seed}-{number:04}", rng.choice(users), rng.uniform(0, seconds))
        for number in range(count)
    ]
    again = [
        replace(each, at=rng.uniform(each.at, seconds), faults=())
        for each in requests
        if each.request_id is not None and rng.random() < 0.15
    ]
    kills = max(round(seconds / _SECONDS_PER_KILL), 1)
    return Plan(
        seed=seed,
        users=users,
        requests=tuple(sorted([*requests, *again], key=lambda each: each.at)),
        outages=_outages(rng, seconds),
        kills=tuple(rng.uniform(0.1, 0.9) * seconds for _ in range(kills)),
    )


def _request(rng: random.Random, name: str, user_id: str, at: float) -> PlannedRequest:
    # Without a request id, the id of the message counts.
    request_id = name if rng.random() < 0.8 else None
    fields = {"user_id": user_id, "correlation_id": name, "request_id": request_id}
    if rng.random() < 0.4:
        fields["on_active_window"] = "defer"
    faults: list[str] = []
    while rng.random() < _FAULTY_CALLS:
        faults.append(rng.choice(list(API_FAULTS)))
    return PlannedRequest(at, name, user_id, request_id, json.dumps(fields), tuple(faults))


def _outages(rng: random.Random, seconds: float) -> tuple[Outage, ...]:
    """Draw an outage of an AWS service for each slot of the time, so that they do not overlap."""
    count = max(round(seconds / _SECONDS_PER_OUTAGE), len(_AWS_SERVICES))
    slot = seconds / count
    return tuple(
        Outage(
            at=(number + rng.uniform(0.1, 0.5)) * slot,
            seconds=rng.uniform(0.2, 0.5) * slot,
            service=_AWS_SERVICES[number % len(_AWS_SERVICES)],
            fault=rng.choice(list(Fault)),
            probability=rng.uniform(0.2, 0.9),
        )
        for number in range(count)
    )
