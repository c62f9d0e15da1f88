"""The dashboard as CloudWatch got it: whatever it draws is written by somebody."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from local.aws import REGION
from tests.e2e.outside import Outside
from tests.infrastructure.test_monitoring import METRICS

Row = list[Any]


@pytest.fixture(scope="module")
def widgets(stack: Outside) -> list[dict[str, Any]]:
    body = stack.aws.client("cloudwatch").get_dashboard(
        DashboardName=f"{stack.stack.name}-{REGION}"
    )
    drawn: list[dict[str, Any]] = json.loads(body["DashboardBody"])["widgets"]
    return drawn


def test_shows_every_alarm(stack: Outside, widgets: list[dict[str, Any]]) -> None:
    (shown,) = [each["properties"]["alarms"] for each in widgets if each["type"] == "alarm"]

    alarms = stack.aws.client("cloudwatch").describe_alarms(
        AlarmNamePrefix=f"{stack.stack.name}-", MaxRecords=100
    )["MetricAlarms"]
    assert sorted(shown) == sorted(each["AlarmArn"] for each in alarms)


def test_draws_metrics_that_the_functions_write(
    stack: Outside, widgets: list[dict[str, Any]]
) -> None:
    drawn = [
        (name, tuple(dimensions[::2]))
        for namespace, name, *dimensions in _rows(widgets)
        if namespace == stack.stack.name
    ]

    assert drawn
    assert set(drawn) <= METRICS.items()


def test_searches_for_metrics_that_the_functions_write(
    stack: Outside, widgets: list[dict[str, Any]]
) -> None:
    searches = [
        re.findall(r'\{"([^"]+)",([a-z,]+)\} MetricName="(\w+)"', row[0]["expression"])
        for row in _all_rows(widgets)
        if isinstance(row[0], dict) and "SEARCH" in row[0]["expression"]
    ]

    assert len(searches) == 8
    for namespace, dimensions, name in chain.from_iterable(searches):
        assert namespace == stack.stack.name
        assert METRICS[name] == tuple(dimensions.split(","))


def test_draws_metrics_of_resources_that_there_are(
    stack: Outside, widgets: list[dict[str, Any]]
) -> None:
    resources = stack.resources()
    names = {each["PhysicalResourceId"].rsplit("/", 1)[-1] for each in resources}
    names |= {each["PhysicalResourceId"] for each in resources}

    drawn = {row[3] for row in _rows(widgets) if row[0].startswith("AWS/")}

    assert len(drawn) > 6
    assert drawn <= names


def test_calculates_with_what_it_draws(widgets: list[dict[str, Any]]) -> None:
    for widget in widgets:
        rows = widget["properties"].get("metrics", [])
        ids = {row[-1]["id"] for row in rows if isinstance(row[-1], dict) and "id" in row[-1]}
        used = {
            word
            for row in rows
            if isinstance(row[0], dict) and "SEARCH" not in row[0]["expression"]
            for word in re.findall(r"\b[a-z]+\b", row[0]["expression"])
        }
        assert used == ids, widget["properties"]["title"]


def test_measures_the_quota_by_the_stacks_own(widgets: list[dict[str, Any]]) -> None:
    (expression,) = [
        row[0]["expression"]
        for row in _all_rows(widgets)
        if isinstance(row[0], dict) and "calls" in row[0]["expression"]
    ]

    assert expression == "100 * FILL(calls, 0) / 300"


def test_leaves_no_hole(widgets: list[dict[str, Any]]) -> None:
    width = 0
    for widget in widgets:
        width += widget["width"]
        assert width <= 24
        width %= 24
    assert width == 0


def _all_rows(widgets: list[dict[str, Any]]) -> Iterator[Row]:
    for widget in widgets:
        yield from widget["properties"].get("metrics", [])


def _rows(widgets: list[dict[str, Any]]) -> Iterator[Row]:
    """Those that name a metric, without what stands in for the row above and without options."""
    above: Row = []
    for row in _all_rows(widgets):
        names = [each for each in row if not isinstance(each, dict)]
        if names:
            above = [above[place] if each == "." else each for place, each in enumerate(names)]
            yield above
