"""The page of figures: a section for each part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Say = Callable[[str], None]
"""Tells the terminal what is being measured."""


@dataclass(frozen=True)
class Target:
    """A figure, and the most that it may be."""

    text: str
    measured: float
    bound: float

    def __str__(self) -> str:
        word = "pass" if self.measured <= self.bound else "MISS"
        return f"- {word}: {self.text}: {self.measured:.3g} (at most {self.bound:g})"


@dataclass(frozen=True)
class Section:
    """What one part measured. The first column is text, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target]

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [
            " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (self.head, rule, *self.rows)
        ]
        table = [f"| {line} |" for line in lines]
        return "\n".join([f"## {self.title}", "", *table, "", *map(str, self.targets)])
