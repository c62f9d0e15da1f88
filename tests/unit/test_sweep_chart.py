"""The chart of `make sweep`."""

from io import StringIO

from rich.console import Console

from local.sweep import invitations_chart


def test_chart_has_a_bar_for_each_number_of_invitations_in_order() -> None:
    text = StringIO()

    Console(file=text, width=100).print(
        invitations_chart({"10": 1, "2": 11, "0": 12}, {"1": 12, "2": 12})
    )

    rows = [line.split() for line in text.getvalue().splitlines() if line.startswith("│")]
    assert rows == [
        ["│", "0", "│", "█" * 12, "12", "│", "0", "│"],
        ["│", "1", "│", "0", "│", "█" * 12, "12", "│"],
        ["│", "2", "│", "█" * 11, "11", "│", "█" * 12, "12", "│"],
        ["│", "10", "│", "█", "1", "│", "0", "│"],
    ]
