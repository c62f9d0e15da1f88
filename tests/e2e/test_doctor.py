"""`make doctor` names what is broken in a deployed stack, and nothing else.

The tests stand in their order: the last ones leave the stack broken.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.aws import LocalAws
from ops import doctor
from tests.e2e import breaks
from tests.e2e.breaks import KEY
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

# What the local AWS does not take over from the template.
_OF_THE_LOCAL_AWS = [
    "look  InvitationTable: it has no backups",
    "look  InvitationTable: its encryption differs",
    "look  ResultTopic: its encryption differs",
]


@dataclass(frozen=True)
class Doctor:
    stack: Outside
    capture: pytest.CaptureFixture[str]

    def run(self, event: str = "") -> tuple[int, list[str]]:
        """Run the command; returns the exit code and the lines that are not ok, sorted."""
        code = doctor.main(self.stack.stack.name, event)
        lines = self.capture.readouterr().out.splitlines()
        return code, sorted(line for line in lines if not line.startswith("ok "))

    def news(self, event: str = "") -> tuple[int, list[str]]:
        """The same without the lines about the local AWS."""
        code, lines = self.run(event)
        return code, [each for each in lines if each.split(", unlike")[0] not in _OF_THE_LOCAL_AWS]


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
def examined(deployed: Outside, capsys: pytest.CaptureFixture[str]) -> Iterator[Doctor]:
    yield Doctor(deployed, capsys)
    deployed.partoo.set_key(KEY)
    deployed.reset()
    deployed.sqs.purge_queue(QueueUrl=deployed.stack.dead_letter_queue_url)


def test_healthy_stack_is_wrong_in_nothing(examined: Doctor) -> None:
    code, lines = examined.run()

    assert code == 0
    assert [line.split(", unlike")[0] for line in lines] == _OF_THE_LOCAL_AWS


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (breaks.revoke_key, "wrong API key: the API refuses it"),
        (breaks.let_the_key_expire, r"look  API key: .* expires on \d{4}-\d\d-\d\d"),
        (breaks.forbid_the_list_of_keys, r"look  API key: .* \(key_list_refused, HTTP 403\)"),
        (breaks.pause, "look  pause: somebody paused all calls; make resume STACK=doctor"),
        (breaks.open_breaker, r"wrong pause: the breaker is open \(outage\)"),
        (breaks.put_dead_letter, "wrong DeadLetterQueue: 1 rest in it"),
    ],
)
def test_doctor_names_what_stops_the_calls(
    examined: Doctor, break_it: Callable[[Outside], None], expected: str
) -> None:
    break_it(examined.stack)

    code, lines = examined.news()

    assert len(lines) == 1, lines
    assert re.match(expected, lines[0])
    assert code == int(expected.startswith("wrong"))
    assert KEY not in lines[0]


def test_doctor_tries_the_crms_own_event(examined: Doctor, tmp_path: Path) -> None:
    sample = json.loads(Path("events/bus/user-pending.json").read_text(encoding="utf-8"))
    own, foreign = tmp_path / "own.json", tmp_path / "foreign.json"
    own.write_text(json.dumps(sample | {"source": "crm.doctor"}))
    foreign.write_text(json.dumps(sample | {"source": "shop"}))

    assert examined.news(str(own)) == (0, [])
    code, (line,) = examined.news(str(foreign))

    assert code == 1
    assert line.startswith("wrong rule: it does not match the sample event")


def test_missing_permissions_are_looked_at_and_break_nothing(
    examined: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = examined.stack.aws.client("iam")
    allow = {"Effect": "Allow", "Action": "cloudformation:DescribeStacks", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.create_user(UserName="operator")
    iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=policy)
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
    _use(monkeypatch, {name: key[each] for name, each in names.items()})

    code, lines = examined.run()

    assert code == 0
    assert len(lines) > 10
    assert [line for line in lines if "not checked, AWS refused the call" not in line] == []


def test_doctor_names_all_that_is_broken(examined: Doctor) -> None:
    for break_it in (
        breaks.disable_event_source,
        breaks.change_function_without_a_version,
        breaks.switch_schedules,
        breaks.let_a_message_grow_old,
        breaks.raise_and_silence_alarms,
        breaks.unsubscribe_everybody,
        breaks.let_the_rule_take_nothing,
        breaks.open_the_retry_queue,
    ):
        break_it(examined.stack)

    _, lines = examined.news()

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


def test_deleted_resource_is_wrong(examined: Doctor) -> None:
    rule = examined.stack.physical_id("PendingEventRule")
    events = examined.stack.aws.client("events")
    events.remove_targets(Rule=rule, Ids=["request-queue"])
    events.delete_rule(Name=rule)

    code, lines = examined.run()

    assert code == 1
    assert [line for line in lines if line.startswith("wrong rule: it is gone, deploy")]
