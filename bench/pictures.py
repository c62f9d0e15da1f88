"""The figures as pictures, one PNG for each part."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.batch import Batches
from bench.cost import Costs
from bench.drain import MINUTE_SECONDS, Backlog, rolling
from bench.growth import SIZES, Growth
from bench.limiters import LIMITERS
from bench.prices import Item
from bench.quota import Drained
from bench.start import Starts
from bench.sweep import Sweeps

_COLOURS = {
    "naive": "#c1121f",
    "two at a time, evenly spaced": "#e09f3e",
    "ours": "#0b6e4f",
}
_LIMIT: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0}


def of_start(starts: Starts, path: Path) -> None:
    kinds = {"naive": starts.naive, "ours": starts.ours, "interpreter alone": starts.bare}
    _save(_rounds(kinds, "Start to first answer"), path)


def of_batch(batches: Batches, path: Path) -> None:
    kinds = {
        **batches.wall,
        "ten e-mails' calls\nside by side": batches.floor_of_ten,
        "floor: one\ne-mail's calls": batches.floor,
    }
    _save(_rounds(kinds, "A warm batch of ten; the API answers after 200 ms"), path)


def of_quota(drained: Sequence[Drained], path: Path) -> None:
    figure = Figure(figsize=(12, 8), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for limiter, axes in zip(LIMITERS, panels, strict=True):
        for each in drained:
            if each.limiter != limiter or each.strategy not in _COLOURS:
                continue
            label = f"{each.strategy}: {each.achieved:.2f} of the limit, {each.tally.refused} 429s"
            moments = each.tally.emails_at
            _climb(axes, moments, color=_COLOURS[each.strategy], label=label)
        rate = drained[0].requests_per_minute
        most = drained[0].requests
        axes.plot([0, most / rate * MINUTE_SECONDS], [0, most], **_LIMIT, label="the limit")
        axes.set_title(limiter, loc="left")
        axes.set_xlabel("seconds")
        axes.set_ylabel("e-mails sent")
        axes.legend(fontsize=8, loc="lower right")
    _save(figure, path)


def of_drain(backlog: Backlog, path: Path) -> None:
    figure = Figure(figsize=(11, 8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _climb(above, backlog.calls_at, color=_COLOURS["ours"], label="calls")
    end = max([backlog.seconds, *backlog.calls_at])
    limit = backlog.requests_per_minute
    above.plot([0, end], [0, end * limit / MINUTE_SECONDS], **_LIMIT, label="the limit's rate")
    above.set_ylabel("calls so far")
    above.set_title(
        f"{backlog.requests} requests at {limit} a minute: {backlog.seconds:.0f} s, "
        f"{len(backlog.refused_at)} answered 429",
        loc="left",
    )
    above.legend(loc="upper left")
    counts = rolling(backlog.calls_at)
    below.step(
        [moment for moment, _ in counts],
        [count for _, count in counts],
        where="post",
        color=_COLOURS["ours"],
        label="calls in the 60 s before",
    )
    below.axhline(limit, **_LIMIT, label="the limit")
    below.set_ylim(0, limit * 1.2)
    below.set_xlabel("seconds after the function was let at the queue")
    below.set_ylabel("calls in 60 s")
    below.legend(loc="lower right")
    _save(figure, path)


def of_cost(costs: Costs, path: Path) -> None:
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots()
    names = [f"{each.handler}\n{each.limiter}" for each in costs.bills]
    left = [0.0] * len(names)
    for item in Item:
        dollars = [each.dollars.get(item, 0.0) for each in costs.bills]
        axes.barh(names, dollars, left=left, label=item.value.label)
        left = [before + more for before, more in zip(left, dollars, strict=True)]
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.2f}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("dollars")
    axes.set_title("A million e-mails by the price list of us-east-1", loc="left")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def of_growth(growth: Growth, path: Path) -> None:
    figure = Figure(figsize=(14, 5), layout="constrained")
    wall, cost, memory = figure.subplots(1, 3)
    for handler in ("naive", "ours"):
        sizes = [each for each in growth.sizes if each.handler == handler]
        lost = sizes[-1].requests - sizes[-1].emails
        label = f"{handler}, of the most {lost:,} dead" if lost else handler
        style = {"color": _COLOURS[handler], "marker": "o", "label": label}
        wall.plot([each.requests for each in sizes], [each.seconds for each in sizes], **style)
        cost.plot([each.requests for each in sizes], [each.dollars for each in sizes], **style)
        peaks = growth.peak_megabytes[handler]
        memory.plot(list(peaks), list(peaks.values()), **style | {"label": f"{handler}, process"})
    peak_bytes = [each.peak_bytes / 1e6 for each in growth.services]
    memory.plot(SIZES, peak_bytes, color="#33658a", marker="o", label="our service alone")
    for axes, label in ((wall, "seconds"), (cost, "dollars"), (memory, "MB at most")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("requests")
        axes.set_ylabel(label)
        axes.legend(fontsize=8)
    _save(figure, path)


def of_sweep(sweeps: Sweeps, path: Path) -> None:
    figure = Figure(figsize=(10, 5), layout="constrained")
    wall, memory = figure.subplots(1, 2)
    for axes, name, label in (
        (wall, "wall", "seconds"),
        (memory, "peak_megabytes", "MB at most, of the whole process"),
    ):
        axes.scatter(
            [each.users for each in sweeps.rounds],
            [getattr(each, name) for each in sweeps.rounds],
            color=_COLOURS["ours"],
        )
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("users of the organisation")
        axes.set_ylabel(label)
    _save(figure, path)


def _rounds(kinds: Mapping[str, Sequence[float]], title: str) -> Figure:
    """A row for each kind with a dot for each round, and a line at the median."""
    figure = Figure(figsize=(10, 1.5 + 0.7 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    for row, (name, seconds) in enumerate(kinds.items()):
        colour = _COLOURS.get(name, "#33658a")
        milliseconds = [each * 1000 for each in seconds]
        axes.scatter(milliseconds, [row] * len(milliseconds), color=colour, alpha=0.4)
        median = statistics.median(milliseconds)
        axes.plot([median, median], [row - 0.3, row + 0.3], color=colour)
        axes.text(median, row - 0.33, f"{median:.0f}", ha="center", fontsize=9)
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.set_ylim(len(kinds) - 0.4, -0.7)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms")
    axes.set_title(title, loc="left")
    return figure


def _climb(axes: Axes, moments: Sequence[float], *, color: str, label: str) -> None:
    axes.step(moments, range(1, len(moments) + 1), where="post", color=color, label=label)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
