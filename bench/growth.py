"""Part 6: how time, cost and memory grow with the number of requests."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cost import MILLION, Shares, bill
from bench.quota import FUNCTION, drain
from bench.say import Say
from bench.stage import Stage
from local.aws import REPOSITORY

SIZES = (10, 100, 1_000, 10_000)
LIMITER = "sliding window"

# More would take minutes; the service alone is followed further.
_PROCESS_SIZES = (10, 100, 1_000)


@dataclass(frozen=True)
class Size:
    """One handler and a backlog of so many requests before the limiter."""

    handler: str
    requests: int
    emails: int
    seconds: float
    """Simulated: from the first e-mail to the last."""
    dollars: float


@dataclass(frozen=True)
class Service:
    """The real service in a process of its own, on a simulated clock and with no AWS."""

    requests: int
    cpu_seconds: float
    kept_bytes: int
    """Still there when all is done."""
    peak_bytes: int


@dataclass(frozen=True)
class Growth:
    sizes: Sequence[Size]
    services: Sequence[Service]
    peak_megabytes: Mapping[str, Mapping[int, float]]
    """Of a handler's whole process after so many requests against the local AWS."""


def measure(stage: Stage, shares: Shares, say: Say) -> Growth:
    """Simulate backlogs of each size, and watch real processes."""
    sizes = []
    for requests in SIZES:
        say(f"growth: a backlog of {requests} before a {LIMITER}")
        for handler in ("naive", "ours"):
            drained = drain(handler, LIMITER, requests=requests)
            total = bill(handler, shares[handler], drained).total
            dollars = total * drained.emails / MILLION
            sizes.append(Size(handler, requests, drained.emails, drained.seconds, dollars))
    services = []
    for requests in SIZES:
        say(f"growth: {requests} requests through the service alone")
        services.append(_service(requests))
    say("growth: memory of both handlers' processes")
    peaks = {handler: _peaks(stage, handler) for handler in ("naive", "ours")}
    return Growth(sizes, services, peaks)


def _service(requests: int) -> Service:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "report.json"
        subprocess.run(
            [sys.executable, "-m", "bench.container", str(requests), str(path)],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'functions'}"},
            # Its log.
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return Service(requests, **json.loads(path.read_text()))


def _peaks(stage: Stage, handler: str) -> dict[int, float]:
    peaks: dict[int, float] = {}
    with stage.process(handler) as process:
        done = 0
        for requests in _PROCESS_SIZES:
            while done < requests:
                users = stage.fresh_users(FUNCTION.batch_size)
                peak = process.invoke(stage.event(handler, users)).peak_kilobytes
                done += len(users)
            peaks[requests] = peak / 1000
    return peaks
