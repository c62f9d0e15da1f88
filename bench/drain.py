"""The deployed stack carries out a backlog; the fake Partoo server counts the calls."""

import json
import time

from bench.page import Say, Section
from bench.stage import Stage
from local.environment import empty_log_folder, local_environment
from local.partoo.control import User

_REQUESTS, _REQUESTS_PER_MINUTE = 240, 120
_MINUTE_SECONDS = 60.0
_PATIENCE_SECONDS = 240.0


def measure(_: Stage, say: Say) -> Section:
    """Deploy, fill the queue, and watch."""
    users = [f"{number:024x}" for number in range(_REQUESTS)]
    with local_environment(
        empty_log_folder("bench-drain"),
        users=map(User, users),
        window_seconds=300,
        requests_per_minute=_REQUESTS_PER_MINUTE,
        say=say,
    ) as environment:
        say(f"drain: {_REQUESTS} requests")
        began = time.time()
        for user in users:
            environment.send(json.dumps({"user_id": user, "request_id": user}))
        results = list(environment.results(_REQUESTS, _PATIENCE_SECONDS))
        seconds, calls = time.time() - began, environment.partoo.calls()
    sent = [result["status"] for result in results].count("sent")
    moments = [call.received_at for call in calls]
    most = max(sum(last - _MINUTE_SECONDS < each <= last for each in moments) for last in moments)
    refused = sum(call.status == 429 for call in calls)
    figures = [f"{seconds:.1f}", *map(str, (sent, len(calls), refused, most))]
    return Section(
        f"The deployed stack, {_REQUESTS} requests at {_REQUESTS_PER_MINUTE} a minute",
        ["", "seconds", "sent", "calls", "429s", "most calls in 60 s"],
        [["ours", *figures]],
    )
