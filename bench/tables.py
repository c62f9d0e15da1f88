"""The figures as Markdown tables."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.batch import Batches
from bench.cost import Costs
from bench.drain import Backlog
from bench.growth import SIZES, Growth
from bench.prices import Item
from bench.quota import Drained
from bench.start import Starts
from bench.sweep import SIZES as SWEEP_SIZES
from bench.sweep import Sweeps


@dataclass(frozen=True)
class Table:
    """The first column is text, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]

        def laid_out(line: Sequence[str]) -> str:
            first, *others = zip(line, widths, strict=True)
            cells = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)]
            return f"| {' | '.join(cells)} |"

        marks = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        rule = f"| {' | '.join(marks)} |"
        return "\n".join([self.title, "", laid_out(self.head), rule, *map(laid_out, self.rows)])


def of_start(starts: Starts) -> Iterable[Table]:
    naive = statistics.median(starts.naive)
    rows = [
        _timed("naive, as `sam build` ships it", starts.naive, naive),
        _timed("ours", starts.ours, naive),
        _timed("interpreter alone", starts.bare, naive),
    ]
    yield Table(
        f"1 Start to first answer, process to process ({len(starts.naive)} rounds)",
        ["", "median ms", "fastest ms", "slowest ms", "of naive"],
        rows,
    )
    yield Table(
        "What is shipped",
        ["", "MB", ".pyc files"],
        [
            [name, f"{starts.megabytes[name]:.1f}", str(starts.bytecode_files[name])]
            for name in starts.megabytes
        ],
    )


def of_batch(batches: Batches) -> Iterable[Table]:
    naive = statistics.median(batches.wall["naive"])
    naive_cpu = statistics.median(batches.cpu["naive"])
    calls = {name: sum(each.values()) for name, each in batches.calls.items()}
    rows = []
    for name in ("naive", "ours"):
        cpu = statistics.median(batches.cpu[name])
        figures = [f"{cpu * 1000:.1f}", f"{cpu / naive_cpu:.3f}", str(calls[name])]
        rows.append([*_timed(name, batches.wall[name], naive), *figures])
    floors = {
        "floor: one e-mail's calls, one after another": batches.floor,
        "ten e-mails' calls side by side, nothing else": batches.floor_of_ten,
    }
    rows += [[*_timed(name, seconds, naive), "", "", ""] for name, seconds in floors.items()]
    yield Table(
        f"2 A warm batch of ten, the API answers after 200 ms ({len(batches.floor)} rounds)",
        [
            "",
            "median ms",
            "fastest ms",
            "slowest ms",
            "of naive",
            "CPU ms",
            "of naive's",
            "AWS calls",
        ],
        rows,
    )


def of_quota(drained: Sequence[Drained]) -> Iterable[Table]:
    first = drained[0]
    yield Table(
        f"3 {first.requests:,} requests before {first.requests_per_minute} a minute (simulated)",
        ["", "limiter", "of the limit", "sent", "429s", "DLQ", "deferred", "GB-s for 1,000"],
        [
            [
                each.strategy,
                each.limiter,
                f"{each.achieved:.3f}",
                str(each.emails),
                str(each.tally.refused),
                str(each.tally.dead),
                str(each.tally.deferred),
                f"{each.gb_seconds_for_1000:.0f}",
            ]
            for each in drained
        ],
    )


def of_drain(backlog: Backlog) -> Iterable[Table]:
    yield Table(
        f"4 The deployed stack, {backlog.requests} requests at "
        f"{backlog.requests_per_minute} a minute",
        ["", ""],
        [
            ["seconds", f"{backlog.seconds:.1f}"],
            ["results", ", ".join(f"{count} {name}" for name, count in backlog.results.items())],
            ["calls", str(len(backlog.calls_at))],
            ["429s", str(len(backlog.refused_at))],
            ["most calls in 60 s", str(backlog.most_in_a_minute)],
        ],
    )


def of_cost(costs: Costs) -> Iterable[Table]:
    yield Table(
        "Price list, us-east-1",
        ["", "dollars", "for", "unit", "page"],
        [
            [each.label, f"{each.dollars:g}", f"{each.per:,}", each.unit, each.page]
            for each in (item.value for item in Item)
        ],
    )
    yield Table(
        "5 A million e-mails, dollars",
        ["", "limiter", "deliveries", *(item.value.label for item in Item), "total"],
        [
            [
                each.handler,
                each.limiter,
                f"{each.attempts:.2f}",
                *(f"{each.dollars.get(item, 0):.2f}" for item in Item),
                f"{each.total:.2f}",
            ]
            for each in costs.bills
        ],
    )


def of_growth(growth: Growth) -> Iterable[Table]:
    yield Table(
        "6 Growth: a backlog before a sliding window of 300 a minute (simulated)",
        ["", "requests", "sent", "seconds", "dollars"],
        [
            [
                each.handler,
                f"{each.requests:,}",
                f"{each.emails:,}",
                f"{each.seconds:,.0f}",
                f"{each.dollars:.5f}",
            ]
            for each in growth.sizes
        ],
    )
    services = {each.requests: each for each in growth.services}

    def peak(handler: str, size: int) -> str:
        megabytes = growth.peak_megabytes[handler].get(size)
        return "" if megabytes is None else f"{megabytes:.1f}"

    yield Table(
        "Growth: the service alone, and both handlers' processes",
        ["requests", "CPU ms each", "peak KB", "kept KB", "naive process MB", "our process MB"],
        [
            [
                f"{size:,}",
                f"{services[size].cpu_seconds / size * 1000:.2f}",
                f"{services[size].peak_bytes / 1000:.0f}",
                f"{services[size].kept_bytes / 1000:.0f}",
                peak("naive", size),
                peak("ours", size),
            ]
            for size in SIZES
        ],
    )


def of_sweep(sweeps: Sweeps) -> Iterable[Table]:
    names = ("due", "pages", "calls", "wall", "cpu", "peak_megabytes")
    yield Table(
        "7 A sweep, nobody else at the quota",
        ["users", "due", "searches", "calls of AWS", "seconds", "CPU seconds", "peak MB"],
        [
            [f"{size:,}", *(f"{sweeps.median(size, name):,.4g}" for name in names)]
            for size in SWEEP_SIZES
        ],
    )


def _timed(name: str, seconds: Sequence[float], naive: float) -> list[str]:
    median = statistics.median(seconds)
    figures = [median, min(seconds), max(seconds)]
    return [name, *(f"{each * 1000:.1f}" for each in figures), f"{median / naive:.3f}"]
