"""Ways to break the stack of `tests/e2e/test_doctor.py`."""

import json
import time
from datetime import UTC, datetime, timedelta

from local.partoo.control import ApiKey
from ops import limiter
from tests.e2e.outside import Outside

KEY = "e2e-doctor-key"

# The fixture of the tests undoes these.


def revoke_key(stack: Outside) -> None:
    stack.partoo.set_key("another")


def let_the_key_expire(stack: Outside) -> None:
    stack.partoo.set_key("another")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    stack.partoo.add_key(ApiKey(KEY, tomorrow.isoformat()))


def forbid_the_list_of_keys(stack: Outside) -> None:
    stack.partoo.add_key(ApiKey(KEY, may_list=False))


def pause(stack: Outside) -> None:
    limiter.pause(stack.aws.client("dynamodb"), stack.stack.table_name)


def open_breaker(stack: Outside) -> None:
    stack.aws.client("dynamodb").put_item(
        TableName=stack.stack.table_name,
        Item={
            **{name: {"S": "LIMITER"} for name in ("pk", "sk", "revision")},
            "paused_until": {"N": f"{time.time() + 300:.0f}"},
            "pause_reason": {"S": "outage"},
            "failures": {"N": "20"},
        },
    )


def put_dead_letter(stack: Outside) -> None:
    stack.sqs.send_message(QueueUrl=stack.stack.dead_letter_queue_url, MessageBody="{}")


# Nothing undoes these.


def disable_event_source(stack: Outside) -> None:
    stack.aws.client("lambda").update_event_source_mapping(
        UUID=stack.physical_id("ReinviteUserFunctionRetries"), Enabled=False
    )


def change_function_without_a_version(stack: Outside) -> None:
    name = stack.stack.reinvite_function_name.partition(":")[0]
    stack.aws.client("lambda").update_function_configuration(FunctionName=name, MemorySize=1_024)


def switch_schedules(stack: Outside) -> None:
    schedules = stack.aws.client("scheduler")
    group = stack.physical_id("ScheduleGroup")
    for name, state in (("CheckKeyFunction", "DISABLED"), ("SweepInvitationsFunction", "ENABLED")):
        names = {"Name": stack.physical_id(f"{name}Schedule"), "GroupName": group}
        found = schedules.get_schedule(**names)
        kept = ("ScheduleExpression", "Target", "FlexibleTimeWindow")
        schedules.update_schedule(**names, **{each: found[each] for each in kept}, State=state)


def let_a_message_grow_old(stack: Outside) -> None:
    """Set the age by hand, because the local AWS has no metrics of queues."""
    queue = stack.stack.request_queue_url.rpartition("/")[2]
    age = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": datetime.now(UTC) - timedelta(minutes=5),
        "Value": 7_200,
    }
    stack.aws.client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[age])


def raise_and_silence_alarms(stack: Outside) -> None:
    alarms = stack.aws.client("cloudwatch")
    name = stack.physical_id("MessagesReturnedAlarm")
    alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    alarms.disable_alarm_actions(AlarmNames=[stack.physical_id("KeyRefusedAlarm")])


def unsubscribe_everybody(stack: Outside) -> None:
    topics = stack.aws.client("sns")
    for topic in (stack.stack.alarm_topic_arn, stack.stack.result_topic_arn):
        for each in topics.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
            topics.unsubscribe(SubscriptionArn=each["SubscriptionArn"])


def let_the_rule_take_nothing(stack: Outside) -> None:
    stack.aws.client("events").put_rule(
        Name=stack.physical_id("PendingEventRule"),
        EventPattern='{"source": ["shop"]}',
        State="DISABLED",
    )


def open_the_retry_queue(stack: Outside) -> None:
    """Take its encryption away, and let everybody send to it."""
    queue = {"QueueUrl": stack.stack.retry_queue_url}
    answer = stack.sqs.get_queue_attributes(**queue, AttributeNames=["Policy"])
    policy = json.loads(answer["Attributes"]["Policy"])
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    )
    changes = {"SqsManagedSseEnabled": "false", "Policy": json.dumps(policy)}
    stack.sqs.set_queue_attributes(**queue, Attributes=changes)
