"""What the log never says, and what the alarms watch."""

import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import pytest

from invitations.errors import TableUnavailableError
from invitations.messages import RetryState
from invitations.observability import count, log_dependency, logger, metrics
from invitations.outcomes import judge
from tests.fakes import START, Settings, text_attribute
from tests.infrastructure.template import resources_of_type
from tests.metrics import points
from tests.reinvite_world import Script, World, answers, not_sent
from tests.sweep_world import SweepWorld

LogCapture: TypeAlias = pytest.LogCaptureFixture
Capture: TypeAlias = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _nothing_counted_before() -> None:
    metrics.clear_metrics()


@pytest.fixture
def world(caplog: LogCapture) -> World:
    caplog.set_level(logging.DEBUG, str(logger.name))
    return World()


def test_key_is_in_the_call_and_nowhere_else(
    world: World, caplog: LogCapture, capsys: Capture
) -> None:
    world.reinviter.calls.keys.current()
    world.secret = "key-2"
    world.api.script("u1", answers(401), answers(500), answers(403))
    world.api.script("u2", *[not_sent()] * 3)
    world.steps.fail("table.save")
    world.ask("u1", "r1")
    world.ask("u2", "r2")
    world.deliver(world.raw("no JSON"))
    world.deliver_all_copies()

    logged = [vars(record) for record in caplog.records]
    written = [logged, world.published, world.messages, world.table.items, capsys.readouterr()]
    assert {call.api_key for call in world.api.calls} == {"key-1", "key-2"}
    assert "key-" not in str(written)


def test_lines_name_the_request_that_the_thread_carries_out(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger.registered_handler, "stream", sys.stdout)
    world.api.script("u1", answers(403))
    world.ask("u1", "r1")
    attributes = {f"a{number}": text_attribute("text") for number in range(10)}
    world.deliver(replace(world.raw("no JSON"), attributes=attributes))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["message"], line.get("request_id"), line.get("user_id")) for line in lines] == [
        ("call failed", "r1", "u1"),
        ("result published", "r1", "u1"),
        ("message attributes dropped", "m1", None),
        ("result published", "m1", None),
    ]


def written(capsys: Capture) -> Mapping[str, list[float]]:
    """The values that were written of each metric, by name, dimensions, and unit if not Count."""
    if metrics.metric_set:
        metrics.flush_metrics()
    values = defaultdict[str, list[float]](list)
    for point in points(capsys.readouterr().out.splitlines()):
        name = " ".join([point.name, *point.dimensions.values(), point.unit])
        values[name.removesuffix(" Count").removesuffix(" None")].append(point.value)
    return values


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ([not_sent()], {"ApiCalls": [1], "WaitingAge Seconds": [0.5]}),
        ([answers(429, "1000")], {"QuotaPauses": [1], "QuotaPauseSeconds Seconds": [1_000]}),
        ([answers(401)], {"KeyRefusals": [1], "BreakerOpenings": []}),
        ([not_sent()] * 10, {"BreakerOpenings": [1], "KeyRefusals": []}),
        # The tenth 403 in a row, and all after it.
        ([answers(403)] * 11, {"ForbiddenRuns": [1, 1]}),
        # An invitation ends a run of 403s, another refusal does not.
        ([answers(403)] * 9 + [answers(200), answers(403)], {"ForbiddenRuns": []}),
        ([answers(403)] * 9 + [answers(404), answers(403)], {"ForbiddenRuns": [1]}),
    ],
)
def test_what_an_alarm_watches_is_counted(
    world: World, capsys: Capture, responses: list[Script], expected: Mapping[str, list[float]]
) -> None:
    for number, response in enumerate(responses):
        world.api.script(f"u{number}", response)
        world.ask(f"u{number}", f"r{number}")

    values = written(capsys)
    assert {name: values[name] for name in expected} == expected


def test_metric_filters_find_their_dimensions_in_the_log(world: World, caplog: LogCapture) -> None:
    world.api.script("u1", not_sent())
    world.ask("u1", "r1")
    world.deliver_all_copies()

    logged = {f'{{ $.message = "{each.getMessage()}" }}': vars(each) for each in caplog.records}
    counted = {
        transformation["MetricName"]: [
            logged[each["FilterPattern"]][dimension["Value"].removeprefix("$.")]
            for dimension in transformation["Dimensions"]
        ]
        for each in resources_of_type("AWS::Logs::MetricFilter").values()
        for transformation in each["MetricTransformations"]
    }
    assert counted == {
        "Results": ["sent", "invited"],
        "Deferrals": ["connection_failed"],
        "ApiFailures": ["not_sent"],
    }


def test_failure_that_threads_share_is_counted_once(capsys: Capture) -> None:
    shared = TableUnavailableError("down")
    for error in (shared, shared, TableUnavailableError("down again")):
        log_dependency(error)

    assert written(capsys)["DependencyFailures"] == [1, 1]


def test_daily_limit_and_an_outage_are_counted_and_bulk_that_waits_has_no_age(
    capsys: Capture,
) -> None:
    world = World(Settings(user_daily_limit=1))
    world.ask("u1", "r1")
    world.clock.advance(1_000)
    world.ask("u1", "r2")
    world.steps.fail("table.read")
    world.deliver(world.bulk_message(RetryState(START), "r3"))

    values = written(capsys)
    assert (values["DailyLimits"], values["DependencyFailures"]) == ([1], [1])
    assert values["WaitingAge Seconds"] == []


def test_failed_sweep_is_counted(capsys: Capture) -> None:
    world = SweepWorld()
    world.partoo.answers = [judge(403, world.clock())]
    world.sweep_to_the_end()

    assert written(capsys)["SweepFailures"] == [1]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(seconds)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_write_their_lines_one_after_another(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger.registered_handler, "stream", sys.stdout)

    def write(number: int) -> None:
        for _ in range(500):
            logger.info("result published", extra={"number": number})
            count("ApiCalls")

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(write, range(10)))

    lines = capsys.readouterr().out.splitlines()
    # Powertools prints a metric when it has a hundred values.
    assert len([json.loads(line) for line in lines]) == 5_000 + 50
