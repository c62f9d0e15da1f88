"""Draws the requests and the faults of a soak from one seed."""

import json
import random
from dataclasses import dataclass, replace

from local.faults import Fault
from local.partoo.control import Answer
from local.samples import Entrance

WINDOW_SECONDS = 10
PARTOO_TIMEOUT_SECONDS = 1
# Far more than are sent: the soak is about faults, not about the quota.
REQUESTS_PER_MINUTE = 3_000
# With a third of the calls faulty, a few requests need this many attempts.
MAX_ATTEMPTS = 3

API_FAULTS = {
    "lost before the e-mail": Answer(drop="before"),
    "lost after the e-mail": Answer(drop="after"),
    "late answer, e-mail sent": Answer(delay_seconds=2.5 * PARTOO_TIMEOUT_SECONDS),
    "e-mail after the time-out": Answer(acts_after=2.5 * PARTOO_TIMEOUT_SECONDS),
    "interim answers, e-mail sent": Answer(interim=(102, 103)),
    "interim answer, then nothing": Answer(interim=(102,), drop="after"),
    "held, no e-mail": Answer(hold=True, email=False),
    "500, e-mail sent": Answer(status=500, email=True),
    "500, no e-mail": Answer(status=500),
    "503, no e-mail": Answer(status=503),
    "429": Answer(status=429, headers={"Retry-After": "2"}),
    "401 with the right key": Answer(status=401),
    "403": Answer(status=403),
    "404": Answer(status=404),
    # A client that follows it makes a call without a request.
    "redirect": Answer(status=307, headers={"Location": "/v2/user/elsewhere/invite"}),
    "200, unreadable body": Answer(body="\udcff" * 4),
    "200, body of 1 MB": Answer(body="x" * 1_000_000),
    "200, slow body": Answer(drip_seconds=2.5 * PARTOO_TIMEOUT_SECONDS),
}

_REQUESTS_PER_SECOND = 8
# A short soak must last until its first faults have been used.
_LEAST_SECONDS = 15.0
_REQUESTS_PER_USER = 4
# With fewer users, a short soak would wait long for their windows.
_LEAST_USERS = 60
_FAULTY_CALLS = 1 / 3
_MOST_FAULTS_IN_A_ROW = 6
_SENT_AGAIN = 0.15
_INVALID = 0.02
_DEFERRED_BY_WINDOW = 0.4
_SECONDS_PER_OUTAGE = 5.0
_SECONDS_PER_KILL = 25.0
_WRONG_KEY_SECONDS = 8.0
API_KEY = "wrong key"
_AWS_SERVICES = ("dynamodb", "sqs", "sns", "secretsmanager")
_ENTRANCES = {Entrance.QUEUE: 60, Entrance.BUS: 25, Entrance.INVOKE: 15}

_INVALID_TEXTS = (
    '{{"user_id": "{user_id}", "note": "{name}"',
    '["{user_id}", "{name}"]',
    '{{"note": "{name}"}}',
    '{{"user_id": "..", "note": "{name}"}}',
    '{{"user_id": "{user_id}", "not_after": "tomorrow", "note": "{name}"}}',
)


@dataclass(frozen=True)
class PlannedRequest:
    """A request that is sent `at` seconds after the start; its text contains its name.

    Two with the same name are one request that is sent twice. `faults`: the answers to the user's
    next calls, as names in `API_FAULTS`.
    """

    at: float
    name: str
    entrance: Entrance
    user_id: str
    request_id: str | None
    text: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outage:
    """A period in which calls of the functions to a service fail with a probability.

    With the service `API_KEY`, the API accepts another key than the one in the secret.
    """

    at: float
    seconds: float
    service: str
    fault: Fault = Fault.REFUSE
    probability: float = 1.0


@dataclass(frozen=True)
class Plan:
    """All events of a soak; times are in seconds after its start."""

    seed: int
    seconds: float
    users: tuple[str, ...]
    requests: tuple[PlannedRequest, ...]
    outages: tuple[Outage, ...]
    kills: tuple[float, ...]


def draw_plan(seed: int, count: int) -> Plan:
    """Draw a soak of `count` requests; the same seed gives the same plan."""
    rng = random.Random(seed)  # noqa: S311  # not for security
    seconds = max(count / _REQUESTS_PER_SECOND, _LEAST_SECONDS)
    users = tuple(
        f"user-{number:03}" for number in range(max(count // _REQUESTS_PER_USER, _LEAST_USERS))
    )
    requests = [
        _request(rng, f"chaos-{seed}-{number:04}", rng.choice(users), rng.uniform(0, seconds))
        for number in range(count)
    ]
    again = [
        replace(each, at=rng.uniform(each.at, seconds), entrance=_entrance(rng), faults=())
        for each in requests
        if each.request_id is not None and rng.random() < _SENT_AGAIN
    ]
    kills = max(round(seconds / _SECONDS_PER_KILL), 1)
    wrong_key_seconds = min(_WRONG_KEY_SECONDS, seconds / 4)
    wrong_key = Outage(rng.uniform(0, seconds - wrong_key_seconds), wrong_key_seconds, API_KEY)
    return Plan(
        seed=seed,
        seconds=seconds,
        users=users,
        requests=tuple(sorted([*requests, *again], key=lambda each: each.at)),
        outages=(*_outages(rng, seconds), wrong_key),
        kills=tuple(rng.uniform(0.1, 0.9) * seconds for _ in range(kills)),
    )


def _request(rng: random.Random, name: str, user_id: str, at: float) -> PlannedRequest:
    if rng.random() < _INVALID:
        text = rng.choice(_INVALID_TEXTS).format(name=name, user_id=user_id)
        return PlannedRequest(at, name, Entrance.QUEUE, user_id, None, text)
    entrance = _entrance(rng)
    # Without a request id, the id of the message or of the event counts. An invocation that ends in
    # an error has none.
    request_id = name if entrance is Entrance.INVOKE or rng.random() < 0.8 else None
    fields = {"user_id": user_id, "correlation_id": name}
    if request_id is not None:
        fields["request_id"] = request_id
    if rng.random() < _DEFERRED_BY_WINDOW:
        fields["on_active_window"] = "defer"
    text = json.dumps(fields)
    return PlannedRequest(at, name, entrance, user_id, request_id, text, _faults(rng))


def _entrance(rng: random.Random) -> Entrance:
    return rng.choices(list(_ENTRANCES), list(_ENTRANCES.values()))[0]


def _faults(rng: random.Random) -> tuple[str, ...]:
    faults: list[str] = []
    while rng.random() < _FAULTY_CALLS and len(faults) < _MOST_FAULTS_IN_A_ROW:
        faults.append(rng.choice(list(API_FAULTS)))
    return tuple(faults)


def _outages(rng: random.Random, seconds: float) -> list[Outage]:
    """Draw an outage of an AWS service for each slot of the time, so that they do not overlap."""
    count = max(round(seconds / _SECONDS_PER_OUTAGE), len(_AWS_SERVICES))
    slot = seconds / count
    return [
        Outage(
            at=(number + rng.uniform(0.1, 0.5)) * slot,
            seconds=rng.uniform(0.2, 0.5) * slot,
            service=_AWS_SERVICES[number % len(_AWS_SERVICES)],
            fault=rng.choice(list(Fault)),
            probability=rng.uniform(0.2, 0.9),
        )
        for number in range(count)
    ]
