"""Draws the calls for each user and the injected faults over time."""

from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from local.chaos.judge import Call, History

# More rows would not be readable.
_MOST_USERS = 40
_BAND_ALPHA = 0.2
_BANDS = {
    "dynamodb faults": "tab:blue",
    "sqs faults": "tab:orange",
    "sns faults": "tab:green",
    "secretsmanager faults": "tab:purple",
    "wrong key": "tab:red",
}
_EMAIL, _WINDOW, _UNKNOWN, _REFUSED, _KILL = "#0b6e4f", "#9fd8c3", "#c1121f", "#444444", "black"


def draw(history: History, path: Path) -> None:
    """Write a PNG with a row for each user, at most the 40 users with the most calls."""
    called = Counter(call.user_id for call in history.calls)
    users = [user_id for user_id, _ in called.most_common(_MOST_USERS)]
    rows = {user_id: row for row, user_id in enumerate(sorted(users))}
    calls = [call for call in history.calls if call.user_id in rows]
    figure = Figure(figsize=(18, 3 + 0.22 * len(rows)), layout="constrained")
    axes = figure.subplots()

    emails = [(call, call.emailed_at) for call in calls if call.emailed_at is not None]
    others = [call for call in calls if call.emailed_at is None]
    axes.barh(
        [rows[call.user_id] for call, _ in emails],
        history.window_seconds,
        left=[emailed_at for _, emailed_at in emails],
        height=0.5,
        color=_WINDOW,
        zorder=2,
    )
    for marker, colour, size, chosen in (
        ("o", _EMAIL, 26, [call for call, _ in emails]),
        ("x", _UNKNOWN, 24, [call for call in others if _is_unknown(call)]),
        ("|", _REFUSED, 40, [call for call in others if not _is_unknown(call)]),
    ):
        axes.scatter(
            [call.at for call in chosen],
            [rows[call.user_id] for call in chosen],
            marker=marker,
            c=colour,
            s=size,
            linewidths=1.2,
            zorder=3,
        )
    for incident in history.incidents:
        if incident.until is None:
            axes.axvline(incident.at, color=_KILL, linestyle="--", linewidth=1, zorder=1)
        else:
            colour = _BANDS[incident.name]
            axes.axvspan(incident.at, incident.until, color=colour, alpha=_BAND_ALPHA, linewidth=0)

    axes.set_yticks(list(rows.values()), list(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, history.seconds)
    axes.set_xlabel("seconds after the start")
    axes.set_ylabel("user")
    axes.set_title(_title(history, len(called), len(rows)), loc="left")
    figure.legend(handles=_legend(history), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)


def _is_unknown(call: Call) -> bool:
    """Return whether an e-mail may have gone out for all that the client knows."""
    return call.status is None or call.status == 200 or call.status >= 500


def _title(history: History, called: int, shown: int) -> str:
    users = f"the {shown} of {called} users with the most calls" if shown < called else "all users"
    return (
        f"make chaos, seed {history.seed}: {len({each.request_id for each in history.triggers})} "
        f"requests, {len(history.calls)} calls at the API, "
        f"{sum(call.emailed_at is not None for call in history.calls)} e-mails. Shown: {users}."
    )


def _legend(history: History) -> list[Line2D | Patch]:
    def mark(marker: str, colour: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, linestyle="none", label=label)

    return [
        mark("o", _EMAIL, "call that sent an e-mail"),
        Patch(color=_WINDOW, label=f"its window of {history.window_seconds:g} s"),
        mark("x", _UNKNOWN, "no e-mail, but no answer or 5xx"),
        mark("|", _REFUSED, "no e-mail: 401, 403, 404, 429 or redirect"),
        Line2D([], [], color=_KILL, linestyle="--", label="workers killed"),
        *(Patch(color=colour, alpha=_BAND_ALPHA, label=name) for name, colour in _BANDS.items()),
    ]
