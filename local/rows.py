"""Rows on the terminal, printed one by one as they come."""

from collections.abc import Sequence

from rich.console import Console

_COLOURS = {
    "sent": "green",
    "swept": "green",
    "failed": "red",
    "invalid": "red",
    "sweep_failed": "red",
}


def plain_console() -> Console:
    """A terminal that changes nothing about a text: ids are cut nowhere and mean no markup."""
    return Console(highlight=False, markup=False, soft_wrap=True)


def print_row(console: Console, widths: Sequence[int], *cells: str) -> None:
    """Print a row in the colour of the status that is among its cells.

    Not a Table: that one is laid out once all of its rows are known, and cuts long ids.
    """
    cut = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
    colour = next((_COLOURS[cell] for cell in cells if cell in _COLOURS), None)
    line = "  " + " ".join(cut).rstrip()
    console.print(line, style=colour, markup=False, highlight=False, soft_wrap=True)
