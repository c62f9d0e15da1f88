"""The page of figures of the benchmark."""

import pytest

from bench.page import Section, Target


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target("start", 0.4567, 0.48), "pass: start: 0.457 (at most 0.48)"),
        (Target("start", 0.49, 0.48), "MISS: start: 0.49 (at most 0.48)"),
        (Target("429s", 0, 0), "pass: 429s: 0 (at most 0)"),
    ],
)
def test_target_says_whether_it_is_met(target: Target, text: str) -> None:
    assert str(target) == f"- {text}"


def test_section_is_a_markdown_table_with_its_targets() -> None:
    section = Section("Start", ["", "ms"], [["naive", "697"]], [Target("start", 1, 2)])

    assert str(section).splitlines() == [
        "## Start",
        "",
        "|       |  ms |",
        "| ----- | --: |",
        "| naive | 697 |",
        "",
        "- pass: start: 1 (at most 2)",
    ]
