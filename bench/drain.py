"""The deployed stack carries out a backlog; the fake Partoo server counts the calls."""

import json
import time
from collections.abc import Sequence

from bench.page import Say, Section, Target
from local.environment import empty_log_folder, local_environment
from local.partoo.control import User

REQUESTS = 240
REQUESTS_PER_MINUTE = 120
MINUTE_SECONDS = 60.0

_PATIENCE_SECONDS = 240.0


def busiest_minute(moments: Sequence[float]) -> int:
    """Return the most calls in any 60 s, of moments in order."""
    return max(
        (sum(last - MINUTE_SECONDS < each <= last for each in moments) for last in moments),
        default=0,
    )


def measure(say: Say) -> Section:
    """Deploy, fill the queue, and watch; raises CommandError when a part does not start."""
    users = [f"{number:024x}" for number in range(REQUESTS)]
    with local_environment(
        empty_log_folder("bench-drain"),
        users=map(User, users),
        window_seconds=300,
        requests_per_minute=REQUESTS_PER_MINUTE,
        say=say,
    ) as environment:
        say(f"drain: {REQUESTS} requests")
        began = time.time()
        for user in users:
            environment.send(json.dumps({"user_id": user, "request_id": user}))
        results = environment.results(REQUESTS, _PATIENCE_SECONDS)
        sent = [result["status"] for result in results].count("sent")
        seconds, calls = time.time() - began, environment.partoo.calls()
    most = busiest_minute([call.received_at for call in calls])
    refused = sum(call.status == 429 for call in calls)
    figures = [f"{seconds:.1f}", *map(str, (sent, len(calls), refused, most))]
    return Section(
        f"The deployed stack, {REQUESTS} requests at {REQUESTS_PER_MINUTE} a minute",
        ["", "seconds", "sent", "calls", "429s", "most calls in 60 s"],
        [["ours", *figures]],
        [
            Target("deployed backlog, seconds", seconds, 140),
            Target("deployed backlog, requests without an e-mail", REQUESTS - sent, 0),
            Target("deployed backlog, calls in 60 s", most, REQUESTS_PER_MINUTE),
        ],
    )
