"""Alarms and dashboard: what they look at is written, and a person learns of it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from invitations.messages import MAX_DELAY_SECONDS
from invitations.sweeps.sweeper import INVITED_METRICS
from tests.documents import REPOSITORY, text_of
from tests.infrastructure.template import MONITORING, TEMPLATE, references, resources_of_type

ALARMS = resources_of_type("AWS::CloudWatch::Alarm")
FILTERED = [
    transformation
    for each in resources_of_type("AWS::Logs::MetricFilter").values()
    for transformation in each["MetricTransformations"]
]
# CodeDeploy acts on it; the function's alarm for errors notifies.
OF_DEPLOYMENTS = "NewVersionErrorsAlarm"
NOTIFYING = sorted(ALARMS.keys() - {OF_DEPLOYMENTS})
PASSED = TEMPLATE["Resources"]["Monitoring"]["Properties"]["Parameters"]

# What the functions write, with its dimensions, as docs/operation.md lists it.
METRICS = {
    name: tuple(re.findall("`([a-z]+)`", dimensions))
    for names, dimensions in re.findall(
        r"^  \| (`[A-Z].*?) \|.*?\|(.*?)\|", text_of("docs/operation.md"), re.MULTILINE
    )
    for name in re.findall("`([A-Za-z]+)`", names)
}
# The namespace of each dimension.
NAMESPACES = {
    "FunctionName": "AWS/Lambda",
    "QueueName": "AWS/SQS",
    "ScheduleGroup": "AWS/Scheduler",
}

Widgets = list[dict[str, Any]]
# Its text contains `${names}`, which CloudFormation fills in.
BODY, _ = MONITORING["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
WIDGETS: Widgets = json.loads(BODY)["widgets"]


def test_page_lists_the_metrics_that_are_written_and_no_others() -> None:
    written = {
        name
        for path in (REPOSITORY / "functions").rglob("*.py")
        for call in re.findall(r"\bcount\(([^)]*)", text_of(path))
        for name in re.findall(r'"([A-Z][A-Za-z]+)"', call)
    }
    filtered = {
        each["MetricName"]: tuple(dimension["Key"] for dimension in each["Dimensions"])
        for each in FILTERED
    }

    assert dict.fromkeys(written | {*INVITED_METRICS}, ()) | filtered == METRICS
    assert all(each["MetricNamespace"] == {"Ref": "ApplicationName"} for each in FILTERED)


@pytest.mark.parametrize("name", NOTIFYING)
def test_alarm_looks_at_a_metric_that_is_written_and_notifies_a_person(name: str) -> None:
    alarm = ALARMS[name]
    own = (METRICS.get(alarm["MetricName"]), alarm["Namespace"], alarm.get("Dimensions"))
    of_aws = [NAMESPACES[each["Name"]] for each in alarm.get("Dimensions", [])]

    assert own == ((), {"Ref": "ApplicationName"}, None) or of_aws == [alarm["Namespace"]]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]


def test_functions_dead_letters_request_queue_and_schedules_are_watched() -> None:
    watched = {
        (alarm["MetricName"], dimension["Value"]["Ref"])
        for alarm in (ALARMS[name] for name in NOTIFYING)
        for dimension in alarm.get("Dimensions", [])
    }

    assert watched == {
        *(("Errors", f"{each}FunctionName") for each in ("Reinvite", "Sweep", "CheckKey")),
        *(("Throttles", f"{each}FunctionName") for each in ("Reinvite", "Sweep")),
        ("ApproximateNumberOfMessagesVisible", "DeadLetterQueueName"),
        ("ApproximateNumberOfMessagesVisible", "SweepDeadLetterQueueName"),
        ("ApproximateAgeOfOldestMessage", "RequestQueueName"),
        ("InvocationDroppedCount", "ScheduleGroupName"),
    }


def test_alarm_rises_when_there_is_too_much_but_for_sweeps_that_end_too_seldom() -> None:
    falling = [name for name, each in ALARMS.items() if "Less" in each["ComparisonOperator"]]
    greatest = {each["MetricName"] for each in ALARMS.values() if each["Statistic"] == "Maximum"}

    assert falling == ["SweepOverdueAlarm"]
    # A sum of ages, pauses or messages on a queue grows with the number of values.
    assert greatest == {
        *("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"),
        *("QuotaPauseSeconds", "WaitingAge"),
    }


def test_alarm_stays_up_between_two_values_of_a_long_outage() -> None:
    breaker, waiting = ALARMS["BreakerOpenAlarm"], ALARMS["RequestsWaitingAlarm"]

    # While probes fail, the breaker opens every 361 s at most.
    assert breaker["Period"] > 361 * breaker["Threshold"]
    # A hop that arrives late leaves a period without a value.
    assert waiting["Period"] >= MAX_DELAY_SECONDS
    assert waiting["DatapointsToAlarm"] < waiting["EvaluationPeriods"]


def test_alarm_without_data_is_not_up_but_for_the_sweeps_of_an_enabled_schedule() -> None:
    without_data = {name: each["TreatMissingData"] for name, each in ALARMS.items()}

    overdue = without_data.pop("SweepOverdueAlarm")
    assert overdue == {"Fn::If": ["SweepsAreOn", "breaching", "notBreaching"]}
    enabled = {"Fn::Equals": [{"Ref": "SweepState"}, "ENABLED"]}
    assert MONITORING["Conditions"]["SweepsAreOn"] == enabled
    assert set(without_data.values()) == {"notBreaching"}


def test_alarms_go_to_an_address_when_one_is_given() -> None:
    subscription = MONITORING["Resources"]["AlarmSubscription"]

    assert subscription["Condition"] == "HasAlarmEmail"
    assert references(subscription["Properties"]) == {"AlarmTopic", "AlarmEmail"}


def test_nested_template_gets_the_resources_that_its_parameters_name() -> None:
    sources = {name: str(*references(value)) for name, value in PASSED.items()}

    assert not TEMPLATE["Resources"].keys() & MONITORING["Resources"].keys()
    assert sources.pop("ApplicationName") == "AWS::StackName"
    assert sources.keys() == MONITORING["Parameters"].keys() - {"ApplicationName"}
    assert {
        name: source
        for name, source in sources.items()
        if not all(word in source for word in re.findall("[A-Z][a-z]+", name.removesuffix("Name")))
    } == {}


def test_dashboard_shows_every_alarm() -> None:
    (shown,) = [each["properties"]["alarms"] for each in WIDGETS if each["type"] == "alarm"]

    names = [*NOTIFYING, f"{OF_DEPLOYMENTS}Name"]
    assert sorted(shown) == sorted(f"${{Alarm}}:${{{each}}}" for each in names)


def test_dashboard_draws_metrics_that_the_functions_write_and_of_resources_of_the_stack() -> None:
    drawn = {name: tuple(dimensions[::2]) for _, name, *dimensions in _metrics("${Application")}
    searches = re.findall(r'{"\${ApplicationName}",([a-z,]+)} MetricName="(\w+)"', str(WIDGETS))
    drawn |= {name: tuple(dimensions.split(",")) for dimensions, name in searches}

    assert len(searches) == str(WIDGETS).count("SEARCH(")
    assert drawn.items() <= METRICS.items()
    # QueueName is the name of ${RequestQueueName}, for instance.
    of_aws = [names[2:] for names in _metrics("AWS/")]
    assert [name for name, value in of_aws if f"{name}}}" not in value] == []


def _metrics(namespace: str) -> Iterator[list[str]]:
    """Yield each row of a namespace, with the names of the row above in place of dots."""
    above: list[str] = []
    for widget in WIDGETS:
        for row in widget["properties"].get("metrics", []):
            names = [each for each in row if not isinstance(each, dict)]
            above = [above[place] if each == "." else each for place, each in enumerate(names)]
            if above and above[0].startswith(namespace):
                yield above
