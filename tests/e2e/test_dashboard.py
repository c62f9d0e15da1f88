"""The dashboard as CloudWatch got it: whatever it draws is written by somebody."""

import json
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest

from local.aws import REGION
from tests.e2e.outside import Outside
from tests.infrastructure.test_monitoring import METRICS

Widgets = list[dict[str, Any]]
STATUSES = ["sent", "skipped", "rejected", "failed", "invalid"]


@pytest.fixture(scope="module")
def widgets(stack: Outside) -> Widgets:
    body = stack.aws.client("cloudwatch").get_dashboard(
        DashboardName=f"{stack.stack.name}-{REGION}"
    )
    drawn: Widgets = json.loads(body["DashboardBody"])["widgets"]
    return drawn


def test_shows_every_alarm(stack: Outside, widgets: Widgets) -> None:
    (shown,) = [each["properties"]["alarms"] for each in widgets if each["type"] == "alarm"]

    alarms = stack.aws.client("cloudwatch").describe_alarms(
        AlarmNamePrefix=f"{stack.stack.name}-", MaxRecords=100
    )["MetricAlarms"]
    assert sorted(shown) == sorted(each["AlarmArn"] for each in alarms)


def test_draws_metrics_that_the_functions_write(stack: Outside, widgets: Widgets) -> None:
    drawn = {
        (namespace, name, tuple(dimensions[::2]))
        for namespace, name, *dimensions in _metrics(widgets)
        if not namespace.startswith("AWS/")
    }
    searched = {
        (namespace, name, tuple(dimensions.split(",")))
        for expression in _expressions(widgets)
        for namespace, dimensions, name in re.findall(
            r'\{"([^"]+)",([a-z,]+)\} MetricName="(\w+)"', expression
        )
    }

    assert (len(drawn) > 10, len(searched)) == (True, 3)
    assert drawn | searched <= {(stack.stack.name, *each) for each in METRICS.items()}


def test_draws_metrics_of_resources_that_there_are(stack: Outside, widgets: Widgets) -> None:
    ids = [each["PhysicalResourceId"] for each in stack.resources()]

    drawn = {row[3] for row in _metrics(widgets) if row[0].startswith("AWS/")}

    assert len(drawn) > 6
    assert drawn <= {*ids, *(each.rsplit("/", 1)[-1] for each in ids)}


def test_draws_every_status_and_the_backlog_of_every_queue(
    stack: Outside, widgets: Widgets
) -> None:
    visible = "ApproximateNumberOfMessagesVisible"
    queues = (*stack.stack.queue_urls, stack.stack.dead_letter_queue_url)
    names = {each.rsplit("/", 1)[-1] for each in queues}

    drawn = {row[3] for row in _metrics(widgets) if row[1] == visible}

    assert drawn > names
    summed = [each for each in _expressions(widgets) if each.startswith("SUM(")]
    assert [re.findall(r'status="(\w+)"', each) for each in summed] == [[each] for each in STATUSES]


def test_calculates_with_what_it_draws(widgets: Widgets) -> None:
    """The quota's chart divides by the stack's own."""
    assert "100 * FILL(calls, 0) / 300" in _expressions(widgets)
    assert [each for each in widgets if _drawn_ids(each) != _used_ids(each)] == []


def test_leaves_no_hole(widgets: Widgets) -> None:
    ends = list(accumulate(each["width"] for each in widgets))

    assert ends[-1] % 24 == 0
    assert set(range(24, ends[-1], 24)) <= set(ends)


def _drawn_ids(widget: dict[str, Any]) -> set[str]:
    options = [row[-1] for row in _rows([widget]) if isinstance(row[-1], dict)]
    return {each["id"] for each in options if "id" in each}


def _used_ids(widget: dict[str, Any]) -> set[str]:
    calculated = [each for each in _expressions([widget]) if "SEARCH" not in each]
    return {word for each in calculated for word in re.findall(r"\b[a-z]+\b", each)}


def _rows(widgets: Widgets) -> Iterator[list[Any]]:
    for widget in widgets:
        yield from widget["properties"].get("metrics", [])


def _expressions(widgets: Widgets) -> list[str]:
    return [row[0]["expression"] for row in _rows(widgets) if isinstance(row[0], dict)]


def _metrics(widgets: Widgets) -> Iterator[list[Any]]:
    """Yield each row that names a metric, with the names of the row above in place of dots."""
    above: list[Any] = []
    for row in _rows(widgets):
        names = [each for each in row if not isinstance(each, dict)]
        if names:
            above = [above[place] if each == "." else each for place, each in enumerate(names)]
            yield above
