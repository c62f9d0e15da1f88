"""What a soak sends and what goes wrong meanwhile, all of it drawn from one seed."""

import json
import random
from dataclasses import dataclass, replace

from local.faults import Fault
from local.partoo.control import Answer
from local.samples import Entrance

WINDOW_SECONDS = 10
PARTOO_TIMEOUT_SECONDS = 1
# Far more than are sent: what holds requests up are pauses and the breaker.
REQUESTS_PER_MINUTE = 3_000
# With a third of the calls faulty, a few requests use up this many and most do not.
MAX_ATTEMPTS = 3

API_FAULTS = {
    "lost before the e-mail": Answer(drop="before"),
    "lost after the e-mail": Answer(drop="after"),
    "too late, e-mail sent": Answer(delay_seconds=2.5 * PARTOO_TIMEOUT_SECONDS),
    "held for ever, no e-mail": Answer(hold=True, email=False),
    "500, e-mail sent": Answer(status=500, email=True),
    "500, no e-mail": Answer(status=500),
    "503, no e-mail": Answer(status=503),
    "429": Answer(status=429, headers={"Retry-After": "2"}),
    "401 for no reason": Answer(status=401),
    "403": Answer(status=403),
    "404": Answer(status=404),
    # Followed, it would show as a call that nobody asked for.
    "redirect": Answer(status=307, headers={"Location": "/v2/user/elsewhere/invite"}),
    "200, unreadable body": Answer(body_base64="/////w=="),
    "200, body of 1 MB": Answer(body_bytes=1_000_000),
    "200, body trickles": Answer(drip_seconds=2.5 * PARTOO_TIMEOUT_SECONDS),
}

_REQUESTS_PER_SECOND = 8
# A short soak too must last until its first faults have met their calls.
_LEAST_SECONDS = 15.0
_REQUESTS_PER_USER = 4
# In a short soak, fewer would wait for each other's windows long after it.
_LEAST_USERS = 60
_FAULTY_CALLS = 1 / 3
_MOST_FAULTS_IN_A_ROW = 6
_SENT_AGAIN = 0.15
_INVALID = 0.02
_DEFERRED_BY_WINDOW = 0.4
_SECONDS_PER_OUTAGE = 5.0
_SECONDS_PER_KILL = 25.0
_KEY_OUTAGE_SECONDS = 8.0
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
class Order:
    """A request on its way in, `at` seconds after the start; the name stands in its text.

    Orders of one name are one request, sent again. `faults` are what the API answers the user's
    next calls with, by their names in `API_FAULTS`.
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
    """A time in which each call of the functions to a service goes wrong with a probability."""

    at: float
    seconds: float
    service: str
    fault: Fault
    probability: float


@dataclass(frozen=True)
class KeyOutage:
    """A time in which the API takes another key than the one in the secret."""

    at: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All that happens in a soak; times are in seconds after its start."""

    seed: int
    seconds: float
    users: tuple[str, ...]
    orders: tuple[Order, ...]
    outages: tuple[Outage, ...]
    kills: tuple[float, ...]
    key_outage: KeyOutage


def draw_plan(seed: int, requests: int) -> Plan:
    """Draw a soak of so many requests: the same seed gives the same plan."""
    rng = random.Random(seed)  # noqa: S311  # chooses faults, guards nothing
    seconds = max(requests / _REQUESTS_PER_SECOND, _LEAST_SECONDS)
    users = tuple(
        f"user-{number:03}" for number in range(max(requests // _REQUESTS_PER_USER, _LEAST_USERS))
    )
    orders = [
        _order(rng, f"chaos-{seed}-{number:04}", rng.choice(users), rng.uniform(0, seconds))
        for number in range(requests)
    ]
    again = [
        replace(order, at=rng.uniform(order.at, seconds), entrance=_entrance(rng), faults=())
        for order in orders
        if order.request_id is not None and rng.random() < _SENT_AGAIN
    ]
    key_outage_seconds = min(_KEY_OUTAGE_SECONDS, seconds / 4)
    return Plan(
        seed=seed,
        seconds=seconds,
        users=users,
        orders=tuple(sorted([*orders, *again], key=lambda order: order.at)),
        outages=_outages(rng, seconds),
        kills=_kills(rng, seconds),
        key_outage=KeyOutage(rng.uniform(0, seconds - key_outage_seconds), key_outage_seconds),
    )


def _order(rng: random.Random, name: str, user_id: str, at: float) -> Order:
    if rng.random() < _INVALID:
        text = rng.choice(_INVALID_TEXTS).format(name=name, user_id=user_id)
        return Order(at, name, Entrance.QUEUE, user_id, None, text)
    entrance = _entrance(rng)
    # Without an id of its own a request is named after its message or event; an invocation that
    # ends in an error would leave nothing to be named after.
    request_id = name if entrance is Entrance.INVOKE or rng.random() < 0.8 else None
    request = {"user_id": user_id, "correlation_id": name}
    if request_id is not None:
        request["request_id"] = request_id
    if rng.random() < _DEFERRED_BY_WINDOW:
        request["on_active_window"] = "defer"
    return Order(at, name, entrance, user_id, request_id, json.dumps(request), _faults(rng))


def _entrance(rng: random.Random) -> Entrance:
    return rng.choices(list(_ENTRANCES), list(_ENTRANCES.values()))[0]


def _faults(rng: random.Random) -> tuple[str, ...]:
    faults: list[str] = []
    while rng.random() < _FAULTY_CALLS and len(faults) < _MOST_FAULTS_IN_A_ROW:
        faults.append(rng.choice(list(API_FAULTS)))
    return tuple(faults)


def _outages(rng: random.Random, seconds: float) -> tuple[Outage, ...]:
    """One after the other, each in a slot of its own."""
    count = max(round(seconds / _SECONDS_PER_OUTAGE), len(_AWS_SERVICES))
    slot = seconds / count
    outages = []
    for number in range(count):
        length = rng.uniform(0.3, 0.8) * slot
        outages.append(
            Outage(
                at=number * slot + rng.uniform(0, slot - length),
                seconds=length,
                service=_AWS_SERVICES[number % len(_AWS_SERVICES)],
                fault=rng.choice(list(Fault)),
                probability=rng.uniform(0.2, 0.9),
            )
        )
    return tuple(outages)


def _kills(rng: random.Random, seconds: float) -> tuple[float, ...]:
    """Each in a slot of its own, with time before the next one for new workers to start."""
    count = max(round(seconds / _SECONDS_PER_KILL), 1)
    slot = seconds / count
    return tuple((number + rng.uniform(0.2, 0.6)) * slot for number in range(count))
