"""Alarms and dashboard: what they look at is written, and a person learns of it."""

import re
from typing import Any

import pytest

from tests.infrastructure.template import (
    MONITORING,
    REPOSITORY,
    TEMPLATE,
    references,
    resources_of_type,
)

ALARMS = resources_of_type("AWS::CloudWatch::Alarm")
# CodeDeploy acts on it; the function's alarm for errors notifies.
OF_DEPLOYMENTS = "NewVersionErrorsAlarm"
NOTIFYING = sorted(ALARMS.keys() - {OF_DEPLOYMENTS})
PASSED = TEMPLATE["Resources"]["Monitoring"]["Properties"]["Parameters"]

# What the functions write, with its dimensions, as docs/operation.md lists it.
METRICS = {
    name: tuple(re.findall("`([a-z]+)`", dimensions))
    for names, dimensions in re.findall(
        r"^  \| (`[A-Z].*?) \|.*?\|(.*?)\|",
        (REPOSITORY / "docs/operation.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    for name in re.findall("`([A-Za-z]+)`", names)
}
VISIBLE = "ApproximateNumberOfMessagesVisible Maximum > 0 in 60 s"
# When each rises, with the parameter that names its resource. In a long outage the breaker opens
# every 361 s at most, and a long wait has hops of 900 s at most.
RULES = {
    "BacklogOldAlarm": "RequestQueueName ApproximateAgeOfOldestMessage Maximum > 3600 in 300 s",
    "BreakerOpenAlarm": "BreakerOpenings Sum >= 2 in 900 s",
    "CheckErrorsAlarm": "CheckKeyFunctionName Errors Sum > 0 in 300 s",
    "DailyLimitAlarm": "DailyLimits Sum >= 1 in 3600 s",
    "DeadLettersAlarm": f"DeadLetterQueueName {VISIBLE}",
    "DependencyFailingAlarm": "DependencyFailures Sum >= 3 in 900 s",
    "KeyExpiringAlarm": "KeyExpiresSoon Sum >= 1 in 86400 s",
    "KeyForbiddenAlarm": "ForbiddenRuns Sum >= 1 in 3600 s",
    "KeyRefusedAlarm": "KeyRefusals Sum >= 1 in 900 s",
    "LongPauseAlarm": "QuotaPauseSeconds Maximum > 900 in 900 s",
    "MessagesReturnedAlarm": "MessagesReturned Sum >= 3 in 300 s",
    "ReinviteErrorsAlarm": "ReinviteFunctionName Errors Sum > 0 in 300 s",
    "ReinviteThrottlesAlarm": "ReinviteFunctionName Throttles Sum > 0 in 300 s",
    "RequestsWaitingAlarm": "WaitingAge Maximum > 3600 in 900 s, 1 of 2 times",
    "ScheduleFailedAlarm": "ScheduleGroupName InvocationDroppedCount Sum > 0 in 300 s",
    "SweepDeadLettersAlarm": f"SweepDeadLetterQueueName {VISIBLE}",
    "SweepErrorsAlarm": "SweepFunctionName Errors Sum > 0 in 300 s",
    "SweepFailedAlarm": "SweepFailures Sum >= 1 in 300 s",
    # Longer than from Friday to Monday.
    "SweepOverdueAlarm": "SweepsEnded Sum < 1 in 86400 s, 4 of 4 times",
    "SweepThrottlesAlarm": "SweepFunctionName Throttles Sum > 0 in 300 s",
}
# The namespace of each dimension.
NAMESPACES = {
    "FunctionName": "AWS/Lambda",
    "QueueName": "AWS/SQS",
    "ScheduleGroup": "AWS/Scheduler",
}


def test_page_lists_the_metrics_that_the_functions_write_and_no_others() -> None:
    sources = [
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "functions").rglob("*.py")
    ]
    written = {
        name
        for source in sources
        for call in re.findall(r"\b(?:count|count_by|add_metric|single_metric)\(([^)]*)", source)
        for name in re.findall(r'"([A-Z][A-Za-z]+)"', call)
    }

    assert written == METRICS.keys()


def test_alarms_rise_by_these_rules() -> None:
    assert {name: _rule(ALARMS[name]) for name in NOTIFYING} == RULES


@pytest.mark.parametrize("name", NOTIFYING)
def test_alarm_looks_at_a_metric_that_is_written(name: str) -> None:
    alarm = ALARMS[name]
    own = (METRICS.get(alarm["MetricName"]), alarm["Namespace"], alarm.get("Dimensions"))
    of_aws = [NAMESPACES[each["Name"]] for each in alarm.get("Dimensions", [])]

    assert own == ((), {"Ref": "ApplicationName"}, None) or of_aws == [alarm["Namespace"]]


@pytest.mark.parametrize("name", NOTIFYING)
def test_alarm_calls_a_person_and_says_when_it_is_over(name: str) -> None:
    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == [{"Ref": "AlarmTopic"}]


def test_alarm_without_data_is_not_up_but_for_the_sweeps_of_an_enabled_schedule() -> None:
    without_data = {name: each["TreatMissingData"] for name, each in ALARMS.items()}

    overdue = without_data.pop("SweepOverdueAlarm")
    assert overdue == {"Fn::If": ["SweepsAreOn", "breaching", "notBreaching"]}
    assert MONITORING["Conditions"]["SweepsAreOn"] == {
        "Fn::Equals": [{"Ref": "SweepState"}, "ENABLED"]
    }
    assert set(without_data.values()) == {"notBreaching"}


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_names_its_section_of_the_runbook(name: str) -> None:
    subject = re.sub(r"^(Reinvite|Sweep|Check)(?=Errors|Throttles)", "Function", name)
    heading = re.sub(r"(?<!^)(?=[A-Z])", "-", subject.removesuffix("Alarm")).lower()

    text = " ".join(ALARMS[name]["AlarmDescription"].split())
    assert text.endswith(f" Runbook: docs/runbook.md#{heading}")


def test_alarms_go_to_an_address_when_one_is_given() -> None:
    subscription = MONITORING["Resources"]["AlarmSubscription"]

    assert subscription["Condition"] == "HasAlarmEmail"
    assert subscription["Properties"] == {
        "TopicArn": {"Ref": "AlarmTopic"},
        "Protocol": "email",
        "Endpoint": {"Ref": "AlarmEmail"},
    }


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


def _rule(alarm: dict[str, Any]) -> str:
    """Describe when an alarm rises, and of which resource, as a nested parameter names it."""
    resources = [each["Value"]["Ref"] for each in alarm.get("Dimensions", [])]
    operator = {
        "GreaterThanThreshold": ">",
        "GreaterThanOrEqualToThreshold": ">=",
        "LessThanThreshold": "<",
    }[alarm["ComparisonOperator"]]
    threshold = f"{operator} {alarm['Threshold']} in {alarm['Period']} s"
    times = alarm["EvaluationPeriods"]
    needed = f", {alarm.get('DatapointsToAlarm', times)} of {times} times"
    text = " ".join([*resources, alarm["MetricName"], alarm["Statistic"], threshold])
    return (text + needed).removesuffix(", 1 of 1 times")
