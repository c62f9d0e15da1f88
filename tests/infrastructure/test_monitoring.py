"""Alarms and dashboard: what they look at is written, and a person learns of it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infrastructure.template import (
    MONITORING,
    REPOSITORY,
    RESOURCES,
    TEMPLATE,
    references,
)

ALARMS = {
    name: each["Properties"]
    for name, each in RESOURCES.items()
    if each["Type"] == "AWS::CloudWatch::Alarm"
}
# CodeDeploy acts on it; the function's alarm for errors notifies.
OF_DEPLOYMENTS = "NewVersionErrorsAlarm"
NOTIFYING = sorted(ALARMS.keys() - {OF_DEPLOYMENTS})
PASSED = TEMPLATE["Resources"]["Monitoring"]["Properties"]["Parameters"]
BODY = MONITORING["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"][0]
# As CloudFormation fills it in, with every name for itself.
WIDGETS = json.loads(re.sub(r"\$\{([A-Za-z:.]+)\}", r"\1", BODY))["widgets"]

# What the functions write, with its dimensions.
METRICS: dict[str, tuple[str, ...]] = {
    "Results": ("status", "reason"),
    "RequestAge": (),
    "WaitingAge": (),
    "Deferrals": ("cause",),
    "ApiCalls": (),
    "ApiLatency": (),
    "ApiFailures": ("answer",),
    "QuotaPauses": (),
    "QuotaPauseSeconds": (),
    "BreakerOpenings": (),
    "BreakerState": (),
    "KeyRefusals": (),
    "ForbiddenRuns": (),
    "DependencyFailures": (),
    "MessagesReturned": (),
    "DailyLimits": (),
    "SweepsEnded": (),
    "SweepsRescheduled": (),
    "SweepFailures": (),
    "SweepUsersFound": (),
    "SweepUsersDue": (),
    "SweepRequestsQueued": (),
    "SweepUsersInvited": ("invitations",),
    "KeyExpiryUnknown": (),
    "KeyExpiresSoon": (),
    "KeyDaysLeft": (),
}


def test_page_lists_every_metric_with_its_dimensions() -> None:
    page = (REPOSITORY / "docs/operation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^  \| (`[A-Z].*?) \|.*?\|(.*?)\|", page, re.MULTILINE)

    listed = {
        name: tuple(re.findall("`([a-z]+)`", dimensions))
        for names, dimensions in rows
        for name in re.findall("`([A-Za-z]+)`", names)
    }
    assert listed == METRICS


def test_alarms_are_these() -> None:
    assert ALARMS.keys() == {
        "BacklogOldAlarm",
        "BreakerOpenAlarm",
        "CheckErrorsAlarm",
        "DailyLimitAlarm",
        "DeadLettersAlarm",
        "DependencyFailingAlarm",
        "KeyExpiringAlarm",
        "KeyForbiddenAlarm",
        "KeyRefusedAlarm",
        "LongPauseAlarm",
        "MessagesReturnedAlarm",
        "NewVersionErrorsAlarm",
        "ReinviteErrorsAlarm",
        "ReinviteThrottlesAlarm",
        "RequestsWaitingAlarm",
        "ScheduleFailedAlarm",
        "SweepDeadLettersAlarm",
        "SweepErrorsAlarm",
        "SweepFailedAlarm",
        "SweepOverdueAlarm",
        "SweepThrottlesAlarm",
    }


@pytest.mark.parametrize("name", NOTIFYING)
def test_alarm_calls_a_person_and_says_when_it_is_over(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize("name", sorted(ALARMS.keys() - {"SweepOverdueAlarm"}))
def test_alarm_without_data_is_not_up(name: str) -> None:
    assert ALARMS[name]["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_says_what_is_the_matter_and_where_to_read_on(name: str) -> None:
    subject = re.sub(r"^(Reinvite|Sweep|Check)(?=Errors|Throttles)", "Function", name)
    heading = re.sub(r"(?<!^)(?=[A-Z])", "-", subject.removesuffix("Alarm")).lower()

    text = " ".join(ALARMS[name]["AlarmDescription"].split())
    assert text.endswith(f" Runbook: docs/runbook.md#{heading}")
    assert len(text) < 1_024


@pytest.mark.parametrize("name", ALARMS)
def test_runbook_has_a_section_for_the_alarm(name: str) -> None:
    heading = ALARMS[name]["AlarmDescription"].rpartition("#")[2].strip()

    assert f"\n### {heading}\n" in (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_looks_at_a_metric_that_is_written(name: str) -> None:
    alarm = ALARMS[name]

    if alarm["Namespace"] == {"Ref": "ApplicationName"}:
        assert METRICS[alarm["MetricName"]] == ()
        assert "Dimensions" not in alarm
    else:
        assert (alarm["Namespace"], alarm["MetricName"]) in {
            ("AWS/Lambda", "Errors"),
            ("AWS/Lambda", "Throttles"),
            ("AWS/Scheduler", "InvocationDroppedCount"),
            ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        }
        dimension = alarm["Dimensions"][0]
        assert dimension["Name"] in ("FunctionName", "QueueName", "ScheduleGroup")


@pytest.mark.parametrize("name", ["BreakerOpenAlarm", "KeyRefusedAlarm", "DependencyFailingAlarm"])
def test_alarm_stays_up_in_a_long_outage(name: str) -> None:
    """Openings of a long outage are up to 361 s apart: five minutes, a probe, and a poll."""
    alarm = ALARMS[name]
    values = (alarm["Period"] - 1) // 361

    assert alarm["Period"] == 900
    if name != "DependencyFailingAlarm":
        # Each request that comes back meets the failing dependency.
        assert values >= alarm["Threshold"]


def test_waiting_alarm_bridges_the_hops_of_a_long_wait() -> None:
    """The longest hop is SQS's longest delay, and each brings one value."""
    alarm = ALARMS["RequestsWaitingAlarm"]

    assert (alarm["MetricName"], alarm["Statistic"]) == ("WaitingAge", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 3600)
    assert alarm["Period"] >= 900
    assert alarm["DatapointsToAlarm"] < alarm["EvaluationPeriods"]


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "operator", "threshold"),
    [
        ("LongPauseAlarm", "QuotaPauseSeconds", "Maximum", "GreaterThanThreshold", 900),
        ("DailyLimitAlarm", "DailyLimits", "Sum", "GreaterThanOrEqualToThreshold", 1),
        ("KeyRefusedAlarm", "KeyRefusals", "Sum", "GreaterThanOrEqualToThreshold", 1),
        ("KeyForbiddenAlarm", "ForbiddenRuns", "Sum", "GreaterThanOrEqualToThreshold", 1),
        ("BreakerOpenAlarm", "BreakerOpenings", "Sum", "GreaterThanOrEqualToThreshold", 2),
        ("DependencyFailingAlarm", "DependencyFailures", "Sum", "GreaterThanOrEqualToThreshold", 3),
    ],
)
def test_alarm_rises_at(
    name: str, metric: str, statistic: str, operator: str, threshold: int
) -> None:
    alarm = ALARMS[name]

    assert (alarm["MetricName"], alarm["Statistic"]) == (metric, statistic)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (operator, threshold)


def test_overdue_alarm_rises_for_a_schedule_that_never_started_a_sweep() -> None:
    alarm = ALARMS["SweepOverdueAlarm"]

    assert alarm["TreatMissingData"] == {"If": ["SweepsAreOn", "breaching", "notBreaching"]}
    assert MONITORING["Conditions"]["SweepsAreOn"] == {"Equals": [{"Ref": "SweepState"}, "ENABLED"]}
    # Longer than from Friday to Monday; CloudWatch looks back seven days at most.
    assert 3 * 86_400 < alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 86_400


def test_schedulers_own_failures_are_seen() -> None:
    alarm = ALARMS["ScheduleFailedAlarm"]

    assert alarm["Dimensions"] == [{"Name": "ScheduleGroup", "Value": {"Ref": "ScheduleGroupName"}}]
    assert PASSED["ScheduleGroupName"] == {"Ref": "ScheduleGroup"}


def test_expiry_alarm_looks_at_one_days_check() -> None:
    alarm = ALARMS["KeyExpiringAlarm"]

    assert alarm["MetricName"] == "KeyExpiresSoon"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 86_400


def test_alarms_go_to_an_address_when_one_is_given() -> None:
    subscription = MONITORING["Resources"]["AlarmSubscription"]

    assert subscription["Condition"] == "HasAlarmEmail"
    assert subscription["Properties"]["TopicArn"] == {"Ref": "AlarmTopic"}
    assert subscription["Properties"]["Endpoint"] == {"Ref": "AlarmEmail"}


class TestNestedTemplate:
    def test_is_given_every_parameter_and_uses_it(self) -> None:
        used = references(MONITORING["Resources"]) | references(MONITORING["Conditions"])
        used |= set(re.findall(r"\$\{([A-Za-z]+)\}", repr(MONITORING["Resources"])))

        assert PASSED.keys() == MONITORING["Parameters"].keys()
        assert MONITORING["Parameters"].keys() <= used

    def test_is_given_its_parameters_by_the_resources_that_their_names_say(self) -> None:
        for name, value in PASSED.items():
            (source,) = references(value) or {value["GetAtt"].split(".")[0]}
            subject = re.sub(r"(Name|Arn)$", "", name)
            if subject == "Application":
                assert source == "AWS::StackName"
                continue
            words = re.findall(r"[A-Z][a-z]+", subject)
            assert all(word in source for word in words), (name, source)

    def test_is_where_the_template_says(self) -> None:
        properties = TEMPLATE["Resources"]["Monitoring"]["Properties"]

        assert (REPOSITORY / properties["TemplateURL"]).samefile(REPOSITORY / "monitoring.yaml")

    def test_needs_no_transform(self) -> None:
        """The local AWS runs none for a nested stack."""
        assert "Transform" not in MONITORING

    def test_shares_no_logical_id_with_the_template(self) -> None:
        assert not TEMPLATE["Resources"].keys() & MONITORING["Resources"].keys()


class TestDashboard:
    def test_name_carries_the_region(self) -> None:
        """Dashboards are global: a second region would find the name taken."""
        properties = MONITORING["Resources"]["Dashboard"]["Properties"]

        assert properties["DashboardName"] == {"Sub": "${ApplicationName}-${AWS::Region}"}

    def test_shows_every_alarm(self) -> None:
        (shown,) = [each["properties"]["alarms"] for each in WIDGETS if each["type"] == "alarm"]

        assert sorted(re.sub(r"^Alarm:|Name$", "", each) for each in shown) == sorted(ALARMS)

    def test_draws_metrics_that_the_functions_write(self) -> None:
        drawn = {
            name: tuple(dimensions[::2])
            for namespace, name, *dimensions in _rows()
            if namespace == "ApplicationName"
        }

        assert len(drawn) > 10
        assert drawn == {name: METRICS[name] for name in drawn}

    def test_searches_for_metrics_that_the_functions_write(self) -> None:
        searches = [
            re.findall(r'\{"ApplicationName",([a-z,]+)\} MetricName="(\w+)"', row[0]["expression"])
            for row in _all_rows()
            if isinstance(row[0], dict) and "SEARCH" in row[0]["expression"]
        ]

        assert len(searches) == 8
        for ((dimensions, name),) in searches:
            assert METRICS[name] == tuple(dimensions.split(","))

    def test_shows_every_status(self) -> None:
        (widget,) = [each for each in WIDGETS if each["properties"]["title"] == "Results by status"]
        rows = [row[0] for row in widget["properties"]["metrics"]]

        assert [row["label"] for row in rows] == [
            "sent",
            "skipped",
            "rejected",
            "failed",
            "invalid",
        ]
        assert all(f'status="{row["label"]}"' in row["expression"] for row in rows)

    def test_shows_the_backlog_of_every_work_queue(self) -> None:
        names = {row[3] for row in _rows() if row[1] == "ApproximateNumberOfMessagesVisible"}

        assert names == {
            "RequestQueueName",
            "RetryQueueName",
            "BulkQueueName",
            "DeadLetterQueueName",
            "SweepDeadLetterQueueName",
        }

    def test_shows_how_often_those_found_by_sweeps_were_invited(self) -> None:
        drawn = [row[3] for row in _rows() if row[1] == "SweepUsersInvited"]

        assert drawn == ["0", "1", "2", "3", "4+"]

    def test_leaves_no_hole(self) -> None:
        width = 0
        for widget in WIDGETS:
            width += widget["width"]
            assert width <= 24
            width %= 24
        assert width == 0


def _all_rows() -> Iterator[list[Any]]:
    for widget in WIDGETS:
        yield from widget["properties"].get("metrics", [])


def _rows() -> Iterator[list[Any]]:
    """Yield each row that names a metric, with the names of the row above in place of dots."""
    above: list[Any] = []
    for row in _all_rows():
        names = [each for each in row if not isinstance(each, dict)]
        if names:
            above = [above[place] if each == "." else each for place, each in enumerate(names)]
            yield above
