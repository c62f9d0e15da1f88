"""The data points that CloudWatch reads from log lines in the embedded metric format."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Point(NamedTuple):
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    value: float
    unit: str


def points(lines: Iterable[str]) -> list[Point]:
    """Read the lines as the format's specification requires; other lines are ignored."""
    return [
        point
        for line in lines
        if '"_aws"' in line
        for point in _points(json.loads(line[line.index("{") :]))
    ]


def _points(document: Mapping[str, Any]) -> Iterator[Point]:
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: document[name] for name in names}
            for metric in directive["Metrics"]:
                name, unit = metric["Name"], metric["Unit"]
                values = document[name] if isinstance(document[name], list) else [document[name]]
                for value in values:
                    yield Point(directive["Namespace"], name, dimensions, value, unit)
