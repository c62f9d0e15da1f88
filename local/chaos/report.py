"""Formats the history of a soak as a table, and draws it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.box import MARKDOWN
from rich.table import Table

from local.chaos.judge import History, Promise
from local.chaos.plan import AWS_SERVICES
from local.partoo.control import Call

# More rows would not be readable.
_MOST_USERS = 40
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple")
_EMAIL = "call that sent an e-mail"
_UNKNOWN = "no e-mail, but no answer or 5xx"
_REFUSED = "no e-mail: 401, 403, 404, 429 or redirect"
_MARKS = {_EMAIL: ("o", "#0b6e4f"), _UNKNOWN: ("x", "#c1121f"), _REFUSED: ("|", "#444444")}


def table(history: History, broken: Sequence[Promise]) -> Table:
    """Return a table of requests, faults, results and violations."""
    answers = Counter(f"calls answered {call.status or 'not at all'}" for call in history.calls)
    results = {each.body: f"results: {each.status}" for each in history.publications}
    rows = {
        "requests": len({trigger.name for trigger in history.triggers}),
        "requests and repetitions": len(history.triggers),
        "users": len({trigger.user_id for trigger in history.triggers}),
        **dict(sorted(answers.items())),
        "e-mails": sum(call.email_sent for call in history.calls),
        **dict(sorted(history.aws_faults.items())),
        f"workers killed, in {len(history.kills)} kills": history.killed_workers,
        **dict(sorted(Counter(results.values()).items())),
        "results published again": len(history.publications) - len(results),
        "messages in the dead-letter queue": len(history.dead_letters),
        "messages that still wait": history.waiting,
        **{f"VIOLATIONS: {promise}": broken.count(promise) for promise in Promise},
    }
    shown = Table(f"seed {history.seed}, {history.seconds:.0f} s", "", box=MARKDOWN)
    for name, value in rows.items():
        shown.add_row(name, str(value))
    return shown


def draw(history: History, path: Path) -> None:
    """Write a PNG of calls and faults with a row for each of the users with the most calls."""
    called = Counter(str(call.user_id) for call in history.calls)
    users = sorted(user_id for user_id, _ in called.most_common(_MOST_USERS))
    rows = {user_id: row for row, user_id in enumerate(users)}
    shown = [(call, rows[str(call.user_id)]) for call in history.calls if call.user_id in rows]
    figure = Figure(figsize=(18, 3 + 0.22 * len(users)), layout="constrained")
    axes = figure.subplots()
    for mark, (marker, colour) in _MARKS.items():
        marked = [(call.received_at, row) for call, row in shown if _mark(call) == mark]
        seconds, places = [at for at, _ in marked], [row for _, row in marked]
        axes.plot(seconds, places, marker, color=colour, markersize=5.5, zorder=3, label=mark)
    window = f"window of {history.window_seconds:g} s after an e-mail"
    emails = [(call.emailed_at, row) for call, row in shown if call.emailed_at is not None]
    begins, places = [at for at, _ in emails], [row for _, row in emails]
    axes.barh(places, history.window_seconds, 0.5, begins, color="#9fd8c3", zorder=2, label=window)
    height = (-0.6, len(users) - 0.4)
    axes.vlines(
        history.kills, *height, color="black", linestyle="--", linewidth=1, label="workers killed"
    )
    for name, colour in zip(AWS_SERVICES, _COLOURS, strict=True):
        spans = [(begin, end - begin) for each, begin, end in history.outages if each == name]
        axes.broken_barh(
            spans, (height[0], len(users) + 0.2), color=colour, alpha=0.2, label=f"outage: {name}"
        )
    axes.set_yticks(range(len(users)), users, fontsize=8)
    axes.set(xlim=(0, history.seconds), ylim=height[::-1])
    axes.set(xlabel="seconds after the start", ylabel="user")
    title = (
        f"make chaos, seed {history.seed}: {len(history.triggers)} requests and repetitions, "
        f"{len(history.calls)} calls at the API. Shown: {len(users)} of {len(called)} users."
    )
    axes.set_title(title, loc="left")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)


def _mark(call: Call) -> str:
    if call.email_sent:
        return _EMAIL
    return _UNKNOWN if call.status is None or call.status == 200 or call.status >= 500 else _REFUSED
