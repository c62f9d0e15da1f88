"""`python -m bench [PART …]`: measurements side by side with the naive handler.

A part is a name or a number: 1 start, 2 batch, 3 quota, 4 drain, 5 cost, 6 growth, 7 sweep;
without any, all run. Tables go to the terminal, and with JSON and pictures to `.local/bench/`.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from bench import batch, cost, drain, growth, pictures, quota, start, sweep, tables, targets
from bench.builds import Builds, build_both
from bench.cost import Shares
from bench.stage import Stage, staged
from bench.targets import Target
from local.aws import REPOSITORY
from local.errors import LocalStackError
from local.processes import treat_sigterm_as_interrupt

PARTS = ("start", "batch", "quota", "drain", "cost", "growth", "sweep")

_WORKSPACE = REPOSITORY / ".local/bench"


class UnknownPartError(LocalStackError):
    """PART is none of the parts."""

    def __init__(self, part: str) -> None:
        super().__init__(f"PART is one of {', '.join(PARTS)} or its number, not {part}.")


class BusyError(LocalStackError):
    """Two at once would measure each other."""

    def __init__(self) -> None:
        super().__init__("Another `make bench` is running here.")


class Bench:
    """What the parts share is made once, when the first of them asks for it."""

    def __init__(self, open_until_done: ExitStack) -> None:
        self._open = open_until_done
        self._began = time.monotonic()
        self.logs = _WORKSPACE / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("*.log"):
            log.unlink()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s  {text}", flush=True)

    @cached_property
    def builds(self) -> Builds:
        self.say("building both handlers")
        return build_both(_WORKSPACE, self.logs)

    @cached_property
    def stage(self) -> Stage:
        builds = self.builds
        self.say("starting AWS and the stand-in for the API")
        return self._open.enter_context(staged(builds, self.logs))

    @cached_property
    def shares(self) -> Shares:
        return cost.count_shares(self.stage, self.say)

    def start(self) -> start.Starts:
        return start.measure(self.stage, self.say)

    def batch(self) -> batch.Batches:
        return batch.measure(self.stage, self.say)

    def quota(self) -> list[quota.Drained]:
        return quota.measure(self.say)

    def drain(self) -> drain.Backlog:
        logs = self.logs / "drain"
        logs.mkdir(exist_ok=True)
        return drain.measure(self.builds.template, logs, self.say)

    def cost(self) -> cost.Costs:
        return cost.measure(self.shares, self.say)

    def growth(self) -> growth.Growth:
        return growth.measure(self.stage, self.shares, self.say)

    def sweep(self) -> sweep.Sweeps:
        return sweep.measure(self.stage, self.say)


def main(chosen: Sequence[str]) -> int:
    """Measure the chosen parts, or all; returns 0 whether targets are met or not.

    Raises LocalStackError.
    """
    parts = [_part(each) for each in chosen] or list(PARTS)
    texts: list[str] = []
    held: list[Target] = []
    with ExitStack() as open_until_done:
        open_until_done.enter_context(_alone())
        bench = Bench(open_until_done)
        for part in parts:
            measured = getattr(bench, part)()
            texts += [f"{table}\n" for table in _tables(part, measured)]
            met = list(_targets(part, measured))
            held += met
            _write(part, measured, met)
            getattr(pictures, f"of_{part}")(measured, _WORKSPACE / f"{part}.png")
    texts += map(str, held)
    report = "\n".join(texts)
    (_WORKSPACE / "report.md").write_text(report + "\n")
    print(f"\n{report}\n\nTables, JSON and pictures are in {_WORKSPACE}.")
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Raises BusyError when another process is inside."""
    _WORKSPACE.mkdir(parents=True, exist_ok=True)
    with (_WORKSPACE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError from None
        yield


def _part(text: str) -> str:
    if text in PARTS:
        return text
    if text.isdecimal() and 1 <= int(text) <= len(PARTS):
        return PARTS[int(text) - 1]
    raise UnknownPartError(text)


def _tables(part: str, measured: Any) -> Iterable[tables.Table]:
    found: Iterable[tables.Table] = getattr(tables, f"of_{part}")(measured)
    return found


def _targets(part: str, measured: Any) -> Iterable[Target]:
    find: Callable[[Any], Iterable[Target]] | None = getattr(targets, f"of_{part}", None)
    return [] if find is None else find(measured)


def _write(part: str, measured: Any, met: Sequence[Target]) -> None:
    document = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count(),
        "measured": _plain(measured),
        "targets": [{**_plain(each), "met": each.is_met} for each in met],
    }
    (_WORKSPACE / f"{part}.json").write_text(json.dumps(document, indent=1) + "\n")


def _plain(value: Any) -> Any:
    """As JSON has it; of an enum's member its name."""
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    # Beyond the microsecond there is only noise.
    return round(value, 6) if isinstance(value, float) else value


if __name__ == "__main__":
    treat_sigterm_as_interrupt()
    try:
        sys.exit(main(sys.argv[1:]))
    except LocalStackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
