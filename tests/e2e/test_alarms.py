"""Each alarm reaches the alarm topic, and what it looks at is written in the stack's namespace.

The local AWS has no metrics of queues and makes none of log lines, so that states are set by hand.
Unit tests show which metric each cause writes, and the template's tests that each is looked at.
"""

import json

from local.faults import Fault, FaultProxy
from local.stack import subscribe_queue
from tests.e2e.outside import Outside
from tests.metrics import points


def test_every_alarm_calls_a_person_and_tells_what_to_do(brisk_stack: Outside) -> None:
    stack = brisk_stack
    cloudwatch = stack.aws.client("cloudwatch")
    queue_url = subscribe_queue(stack.aws, "alarms", stack.stack.alarm_topic_arn)
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=stack.stack.name, MaxRecords=100)
    names = {each["AlarmName"] for each in alarms["MetricAlarms"] if each["AlarmActions"]}
    for name in names:
        # An alarm that is up already would tell nobody.
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
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


def test_messages_that_go_back_to_their_queue_are_counted(
    brisk_stack: Outside, faults: FaultProxy
) -> None:
    brisk_stack.wait_until_idle()
    faults.inject("sqs", Fault.REFUSE)

    # Neither sent to the dead-letter queue nor deferred.
    brisk_stack.send("no JSON")

    brisk_stack.wait(lambda: brisk_stack.stack.name in _namespaces(brisk_stack, "MessagesReturned"))
    # It would come again only after minutes.
    brisk_stack.reset()


def _namespaces(stack: Outside, metric: str) -> set[str]:
    """Those in which the metric has counted something."""
    written = points(stack.logs().splitlines())
    return {point.namespace for point in written if point.name == metric and point.value > 0}
