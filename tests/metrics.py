"""The data points that CloudWatch reads from log lines in the embedded metric format."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

_UNITS = {"Count", "Seconds", "Milliseconds", "None"}


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
    assert isinstance(document["_aws"]["Timestamp"], int)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: document[name] for name in names}
            assert all(isinstance(value, str) and value for value in dimensions.values())
            for metric in directive["Metrics"]:
                value, unit = document[metric["Name"]], metric["Unit"]
                assert unit in _UNITS
                for each in value if isinstance(value, list) else [value]:
                    assert isinstance(each, float | int)
                    yield Point(directive["Namespace"], metric["Name"], dimensions, each, unit)
