"""Formats the history of a soak as a table, and draws it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from local.chaos.judge import History, Promise
from local.chaos.plan import API_KEY
from local.partoo.control import Call

# More rows would not be readable.
_MOST_USERS = 40
_BAND_ALPHA = 0.2
_BANDS = {
    "dynamodb": "tab:blue",
    "sqs": "tab:orange",
    "sns": "tab:green",
    "secretsmanager": "tab:purple",
    API_KEY: "tab:red",
}
_WINDOW, _KILL = "#9fd8c3", "black"
_MARKS = (
    ("o", "#0b6e4f", "call that sent an e-mail"),
    ("x", "#c1121f", "no e-mail, but no answer or 5xx"),
    ("|", "#444444", "no e-mail: 401, 403, 404, 429 or redirect"),
)


def table(history: History, broken: Sequence[Promise]) -> str:
    """Return a Markdown table of requests, faults, results and violations."""
    rows = list(_rows(history, broken))
    width = max(len(name) for name, _ in rows)
    lines = [f"| {name:<{width}} | {value:>6} |" for name, value in rows]
    head = f"| {f'seed {history.seed}, {history.seconds:.0f} s':<{width}} | {'':>6} |"
    return "\n".join([head, f"| {'-' * width} | -----: |", *lines])


def _rows(history: History, broken: Sequence[Promise]) -> Iterator[tuple[str, int]]:
    requests = {trigger.request_id for trigger in history.triggers}
    yield "requests", len(requests)
    yield "… sent or invoked again", len(history.triggers) - len(requests)
    yield "users", len({trigger.user_id for trigger in history.triggers})
    yield "calls at the API", len(history.calls)
    yield "e-mails", sum(call.email_sent for call in history.calls)
    answers = Counter(str(call.status or "no answer") for call in history.calls)
    yield "calls that brought no 200", answers.total() - answers.pop("200", 0)
    yield from _counts("… {}", answers)
    yield "faults between functions and AWS", history.aws_faults.total()
    yield from _counts("… {}", history.aws_faults)
    yield "workers killed", history.killed_workers
    yield "… in so many kills", len(history.kills)
    distinct = {each.body: each.status for each in history.publications}
    yield from _counts("results: {}", Counter(distinct.values()))
    yield "results published again", len(history.publications) - len(distinct)
    yield "messages in the dead-letter queue", len(history.dead_letters)
    yield "messages that still wait", history.waiting
    for promise in Promise:
        yield f"VIOLATIONS: {promise}", broken.count(promise)


def _counts(label: str, counts: Counter[str]) -> list[tuple[str, int]]:
    return [(label.format(name), count) for name, count in sorted(counts.items())]


def draw(history: History, path: Path) -> None:
    """Write a PNG of calls and faults with a row for each of the users with the most calls."""
    called = Counter(call.user_id or call.path for call in history.calls)
    users = sorted(user_id for user_id, _ in called.most_common(_MOST_USERS))
    figure = Figure(figsize=(18, 3 + 0.22 * len(users)), layout="constrained")
    axes = figure.subplots()
    drawn: tuple[list[tuple[float, int]], ...] = ([], [], [])
    for call in history.calls:
        if call.user_id in users:
            row = users.index(call.user_id)
            drawn[_mark(call)].append((call.received_at, row))
            if call.emailed_at is not None:
                bar = [(call.emailed_at, history.window_seconds)]
                axes.broken_barh(bar, (row - 0.25, 0.5), color=_WINDOW, zorder=2)
    for (marker, colour, _), points in zip(_MARKS, drawn, strict=True):
        moments, rows = zip(*points, strict=True) if points else ((), ())
        axes.scatter(moments, rows, marker=marker, c=colour, s=30, linewidths=1.2, zorder=3)
    for name, begin, end in history.outages:
        axes.axvspan(begin, end, color=_BANDS[name], alpha=_BAND_ALPHA, linewidth=0)
    for at in history.kills:
        axes.axvline(at, color=_KILL, linestyle="--", linewidth=1, zorder=1)
    axes.set_yticks(range(len(users)), users, fontsize=8)
    axes.set(xlim=(0, history.seconds), ylim=(len(users) - 0.4, -0.6))
    axes.set(xlabel="seconds after the start", ylabel="user")
    requests = len({each.request_id for each in history.triggers})
    emails = sum(call.email_sent for call in history.calls)
    title = (
        f"make chaos, seed {history.seed}: {requests} requests, {len(history.calls)} calls at the "
        f"API, {emails} e-mails. Shown: {len(users)} of {len(called)} users."
    )
    axes.set_title(title, loc="left")
    legend = [
        *(Line2D([], [], color=c, marker=m, linestyle="none", label=text) for m, c, text in _MARKS),
        Patch(color=_WINDOW, label=f"window of {history.window_seconds:g} s after an e-mail"),
        Line2D([], [], color=_KILL, linestyle="--", label="workers killed"),
        *(Patch(color=c, alpha=_BAND_ALPHA, label=f"outage: {n}") for n, c in _BANDS.items()),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)


def _mark(call: Call) -> int:
    """Return the index of a call's mark."""
    if call.email_sent:
        return 0
    return 1 if call.status is None or call.status == 200 or call.status >= 500 else 2
