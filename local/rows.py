"""Prints rows to the terminal one by one."""

from collections.abc import Sequence

from rich.console import Console

COLOURS = {
    "sent": "green",
    "swept": "green",
    "failed": "red",
    "invalid": "red",
    "sweep_failed": "red",
}


def plain_console() -> Console:
    """Return a console without markup, highlighting and line breaks, so that ids stay whole."""
    return Console(highlight=False, markup=False, soft_wrap=True)


def print_row(console: Console, widths: Sequence[int], *cells: str) -> None:
    """Print a row, coloured if one of its cells is a status.

    A rich Table needs all rows before it prints the first one, and cuts long ids.
    """
    cut = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
    colour = next((COLOURS[cell] for cell in cells if cell in COLOURS), None)
    line = "  " + " ".join(cut).rstrip()
    console.print(line, style=colour, markup=False, highlight=False, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
