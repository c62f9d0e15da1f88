"""The page of figures: a section for each part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Say = Callable[[str], None]
"""Tells the terminal what is being measured."""


@dataclass(frozen=True)
class Target:
    """A figure, the most that it may be (or the least), and what it was before the rewrite."""

    text: str
    measured: float
    bound: float
    was: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        is_met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        relation = "at least" if self.at_least else "at most"
        was = "" if self.was is None else f"; was {self.was:.3g}"
        return (
            f"- {'pass' if is_met else 'MISS'}: {self.text}: {self.measured:.3g} "
            f"({relation} {self.bound:g}{was})"
        )


@dataclass(frozen=True)
class Section:
    """What one part measured. The first column is text, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target] = ()
    draw: "Callable[[Figure], None] | None" = None

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [
            " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (self.head, rule, *self.rows)
        ]
        table = [f"| {line} |" for line in lines]
        return "\n".join([f"## {self.title}", "", *table, "", *map(str, self.targets)]).rstrip()
