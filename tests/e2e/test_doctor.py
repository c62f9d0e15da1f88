"""`make doctor` names what is broken in a deployed stack, and nothing else.

The tests stand in their order: the last ones leave the stack broken.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.aws import REPOSITORY, LocalAws
from local.partoo.control import ApiKey
from ops import doctor, limiter
from ops.checks.stack import Stack, Verdict
from ops.deployed import find_stack
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

KEY = "e2e-doctor-key"
# What the local AWS does not take over from the template.
_OF_THE_LOCAL_AWS = [
    "look  InvitationTable: its encryption differs",
    "look  ResultTopic: its encryption differs",
]


@pytest.fixture(scope="module")
def deployed(own_aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack whose alarms have a subscriber, and the environment for the doctor."""
    with (
        own_stack(own_aws, deployed_template, "doctor") as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        own_aws.client("sns").subscribe(
            TopicArn=stack.stack.alarm_topic_arn, Protocol="email", Endpoint="operator@example.com"
        )
        _use(patch, own_aws.environment())
        yield stack


def _use(patch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)
    # boto3 keeps the first credentials of the process in its default session.
    patch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.fixture
def stack(deployed: Outside) -> Iterator[Outside]:
    """The stack, whose key, pause and dead letters are put right afterwards."""
    yield deployed
    deployed.partoo.set_key(KEY)
    deployed.reset()
    deployed.sqs.purge_queue(QueueUrl=deployed.stack.dead_letter_queue_url)


def _findings(event: Path | None = None) -> list[str]:
    """Return what is not ok, sorted, without what the local AWS lacks."""
    found = doctor.examine(Stack(find_stack("doctor")), str(event or ""))
    faults = [each for each in found if each.verdict is not Verdict.OK]
    lines = sorted(f"{each.verdict:<6}{each.subject}: {each.text}" for each in faults)
    return [each for each in lines if each.split(" from the template")[0] not in _OF_THE_LOCAL_AWS]


def test_healthy_stack_is_wrong_in_nothing(
    stack: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    code = doctor.main("doctor")

    lines = capsys.readouterr().out.splitlines()
    faults = sorted(
        each.split(" from the template")[0] for each in lines if not each.startswith("ok ")
    )
    assert (code, faults) == (0, _OF_THE_LOCAL_AWS)


# What stops the calls


def revoke_key(stack: Outside) -> None:
    stack.partoo.set_key("another")


def let_the_key_expire(stack: Outside) -> None:
    stack.partoo.set_key("another")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    stack.partoo.add_key(ApiKey(KEY, tomorrow.isoformat()))


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


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (revoke_key, "wrong API key: the API refuses it"),
        (let_the_key_expire, r"look  API key: .* expires on \d{4}-\d\d-\d\d"),
        (pause, "look  pause: somebody paused all calls; make resume STACK=doctor"),
        (open_breaker, r"wrong pause: the breaker is open \(outage\)"),
        (put_dead_letter, "wrong DeadLetterQueue: 1 dead letters rest in it"),
    ],
)
def test_doctor_names_what_stops_the_calls(
    stack: Outside, break_it: Callable[[Outside], None], expected: str
) -> None:
    break_it(stack)

    (line,) = _findings()

    assert re.match(expected, line)
    assert KEY not in line


def test_doctor_tries_the_crms_own_event(stack: Outside, tmp_path: Path) -> None:
    sample = json.loads((REPOSITORY / "events/bus/user-pending.json").read_text(encoding="utf-8"))
    own, foreign = tmp_path / "own.json", tmp_path / "foreign.json"
    own.write_text(json.dumps(sample | {"source": "crm.doctor"}))
    foreign.write_text(json.dumps(sample | {"source": "shop"}))

    assert _findings(own) == []
    (line,) = _findings(foreign)
    assert line.startswith("wrong rule: it does not match the sample event")


def test_missing_permissions_are_looked_at_and_break_nothing(
    stack: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = stack.aws.client("iam")
    allow = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.create_user(UserName="operator")
    iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=policy)
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
    _use(monkeypatch, {name: key[each] for name, each in names.items()})

    lines = _findings()

    assert len(lines) > 10
    assert {each[:6] for each in lines} == {"look  "}
    assert [line for line in lines if "not checked, AWS refused the call" not in line] == []


# What is broken in the stack; nothing undoes it


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


def test_doctor_names_all_that_is_broken(stack: Outside) -> None:
    for break_it in (
        disable_event_source,
        change_function_without_a_version,
        switch_schedules,
        let_a_message_grow_old,
        raise_and_silence_alarms,
        unsubscribe_everybody,
        let_the_rule_take_nothing,
        open_the_retry_queue,
    ):
        break_it(stack)

    lines = _findings()

    expected = [
        "look  RetryQueue: its encryption differs",
        "look  alarm topic: nobody gets the alarms",
        "look  result topic: nobody gets the results",
        "wrong RetryQueue: its policy differs",
        "wrong alarms: KeyRefusedAlarm notifies nobody",
        "wrong alarms: MessagesReturnedAlarm is up; docs/runbook.md#messages-returned",
        "wrong event sources: ReinviteUserFunctionRetries is Disabled",
        "wrong live version: version",
        "wrong queues: a message is 7200 s old on the request queue",
        "wrong rule: it does not match the sample event",
        "wrong rule: it is DISABLED",
        "wrong schedules: CheckKeyFunctionSchedule is DISABLED",
        "wrong schedules: SweepInvitationsFunctionSchedule is ENABLED",
    ]
    assert [line[: len(begin)] for begin, line in zip(expected, lines, strict=True)] == expected


def test_deleted_resource_is_wrong(stack: Outside, capsys: pytest.CaptureFixture[str]) -> None:
    rule = stack.physical_id("PendingEventRule")
    events = stack.aws.client("events")
    events.remove_targets(Rule=rule, Ids=["request-queue"])
    events.delete_rule(Name=rule)

    code = doctor.main("doctor")

    assert code == 1
    assert "\nwrong rule: it is gone, deploy" in capsys.readouterr().out
