"""The page of figures of the benchmark."""

import pytest

from bench.page import Section, Target


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target("start", 0.4567, 0.48, 0.232), "pass: start: 0.457 (at most 0.48; was 0.232)"),
        (Target("start", 0.49, 0.48), "MISS: start: 0.49 (at most 0.48)"),
        (Target("rate", 0.92, 0.92, at_least=True), "pass: rate: 0.92 (at least 0.92)"),
        (Target("rate", 0.91, 0.92, at_least=True), "MISS: rate: 0.91 (at least 0.92)"),
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
