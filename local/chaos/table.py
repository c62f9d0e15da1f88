"""Formats the history of a soak as a table."""

from collections import Counter
from collections.abc import Iterable, Sequence

from local.chaos.judge import History, Promise, Violation


def table(history: History, violations: Sequence[Violation]) -> str:
    """Return a Markdown table of requests, faults, results and violations."""
    rows = [*_traffic(history), *_faults(history), *_outcomes(history), *_promises(violations)]
    width = max(len(name) for name, _ in rows)
    lines = [f"| {name:<{width}} | {value:>6} |" for name, value in rows]
    head = f"| {f'seed {history.seed}, {history.seconds:.0f} s':<{width}} | {'':>6} |"
    return "\n".join([head, f"| {'-' * width} | -----: |", *lines])


def _traffic(history: History) -> Iterable[tuple[str, int]]:
    requests = {trigger.request_id for trigger in history.triggers}
    yield "requests", len(requests)
    yield "… sent or invoked again", len(history.triggers) - len(requests)
    yield "users", len({trigger.user_id for trigger in history.triggers})
    yield "calls at the API", len(history.calls)
    yield "e-mails", sum(call.emailed_at is not None for call in history.calls)


def _faults(history: History) -> Iterable[tuple[str, int]]:
    by_kind = Counter(call.fault for call in history.calls if call.fault)
    yield "faulty calls", by_kind.total()
    for kind, count in sorted(by_kind.items()):
        yield f"… {kind}", count
    yield "faults between functions and AWS", sum(history.aws_faults.values())
    for kind, count in sorted(history.aws_faults.items()):
        yield f"… {kind}", count
    yield "workers killed", history.killed_workers
    yield "… in so many kills", sum(each.until is None for each in history.incidents)


def _outcomes(history: History) -> Iterable[tuple[str, int]]:
    distinct = {each.body: each.status for each in history.publications}
    for status, count in sorted(Counter(distinct.values()).items()):
        yield f"results: {status}", count
    yield "results published again", len(history.publications) - len(distinct)
    yield "messages in the dead-letter queue", len(history.dead_letters)


def _promises(violations: Sequence[Violation]) -> Iterable[tuple[str, int]]:
    broken = Counter(violation.promise for violation in violations)
    for promise in Promise:
        yield f"VIOLATIONS: {promise}", broken[promise]
