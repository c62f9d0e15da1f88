"""The page of figures: a section for each part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Say = Callable[[str], object]
"""Tells the terminal what is being measured."""


@dataclass(frozen=True)
class Section:
    """What one part measured, as a Markdown table. The first column is text, the others figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        table = [f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows)]
        return "\n".join([f"## {self.title}", "", *table])
