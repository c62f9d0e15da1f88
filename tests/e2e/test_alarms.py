"""Each alarm reaches the alarm topic.

The local AWS has no metrics of queues and makes none of log lines, so that states are set by hand;
that the log lines which the metrics are made of are written is seen in what the functions log.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from local.faults import Fault, FaultProxy
from local.partoo.control import ANY_SEARCH, Answer, ApiKey
from local.stack import subscribe_queue
from tests.e2e.outside import Outside
from tests.metrics import points


def test_every_alarm_calls_a_person_and_tells_what_to_do(brisk_stack: Outside) -> None:
    stack = brisk_stack
    cloudwatch = stack.aws.client("cloudwatch")
    queue_url = subscribe_queue(stack.aws, "alarms", stack.stack.alarm_topic_arn)
    names = _alarms(stack)
    for name in names:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")

    told: dict[str, str] = {}

    def all_were_told() -> bool:
        answer = stack.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            alarm = json.loads(message["Body"])
            told[alarm["AlarmName"]] = alarm["AlarmDescription"]
        return told.keys() >= names

    stack.wait(all_were_told)
    for name in names:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")

    assert told.keys() == names
    assert all("docs/runbook.md#" in description for description in told.values())


def _refuse_the_key(stack: Outside) -> None:
    stack.partoo.set_key("another")
    stack.invoke({"user_id": stack.invited_user()})
    stack.partoo.set_key("e2e-brisk-key")


def _empty_the_secret(stack: Outside) -> None:
    stack.put_secret(" ")
    stack.restart_function()
    stack.invoke({"user_id": stack.invited_user()})
    stack.put_secret("e2e-brisk-key")


def _break_the_api(stack: Outside) -> None:
    users = [stack.invited_user(Answer(status=503)) for _ in range(10)]
    stack.invoke({"user_ids": users})


def _fail_a_sweep(stack: Outside) -> None:
    stack.partoo.script(ANY_SEARCH, Answer(status=403))
    stack.sweep()


def _let_the_key_expire_soon(stack: Outside) -> None:
    day = datetime.now(UTC).date() + timedelta(days=5)
    stack.partoo.add_key(ApiKey("e2e-brisk-key", day.isoformat()))
    stack.check_key()
    stack.partoo.set_key("e2e-brisk-key")


def test_messages_that_go_back_to_their_queue_are_counted(
    brisk_stack: Outside, faults: FaultProxy
) -> None:
    brisk_stack.wait_until_idle()
    faults.inject("sqs", Fault.REFUSE)

    # Neither sent to the dead-letter queue nor deferred.
    brisk_stack.send("no JSON")
    brisk_stack.wait(lambda: brisk_stack.stack.name in _namespaces(brisk_stack, "MessagesReturned"))

    # It would come again only after minutes.
    brisk_stack.sqs.purge_queue(QueueUrl=brisk_stack.stack.request_queue_url)
    brisk_stack.wait_until_idle()


@pytest.mark.parametrize(
    ("metric", "bring_about"),
    [
        ("KeyRefusals", _refuse_the_key),
        ("DependencyFailures", _empty_the_secret),
        ("BreakerOpenings", _break_the_api),
        ("SweepFailures", _fail_a_sweep),
        ("KeyExpiresSoon", _let_the_key_expire_soon),
    ],
)
def test_what_an_alarm_looks_at_is_written_when_its_cause_is_brought_about(
    brisk_stack: Outside, metric: str, bring_about: Callable[[Outside], None]
) -> None:
    bring_about(brisk_stack)

    brisk_stack.wait(lambda: brisk_stack.stack.name in _namespaces(brisk_stack, metric))
    brisk_stack.reset()


def _namespaces(stack: Outside, metric: str) -> set[str]:
    """Those in which the metric has counted something."""
    written = points(stack.logs().splitlines())
    return {point.namespace for point in written if point.name == metric and point.value > 0}


def _alarms(stack: Outside) -> set[str]:
    """The names of all alarms that call somebody, those of the nested template included."""
    alarms = stack.aws.client("cloudwatch").describe_alarms(
        AlarmNamePrefix=stack.stack.name, MaxRecords=100
    )["MetricAlarms"]
    return {each["AlarmName"] for each in alarms if each["AlarmActions"]}
