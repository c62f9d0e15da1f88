"""The queues: how much waits, for how long, and what could not be carried out."""

from datetime import UTC, datetime, timedelta

from ops.checks.stack import Findings, Stack, ok, wrong

_STATES = ("", "NotVisible", "Delayed")
# Of the alarm BacklogOld.
_OLD_SECONDS = 3600
_MINUTES = 15
_DEAD = {
    "DeadLetterQueue": "read their reason, then make redrive: docs/runbook.md#dead-letters",
    "SweepDeadLetterQueue": "docs/runbook.md#sweep-dead-letters",
}


def waiting(stack: Stack) -> Findings:
    urls = stack.of_kind("SQS::Queue")
    counts = {name: _count(stack, url) for name, url in urls.items() if name not in _DEAD}
    age = _age_of_oldest(stack, urls["RequestQueue"].rpartition("/")[2])
    if age > _OLD_SECONDS:
        text = f"a message is {age:.0f} s old on the request queue"
        yield wrong("queues", f"{text}; docs/runbook.md#backlog-old")
    else:
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield ok("queues", f"messages: {text}")


def dead_letters(stack: Stack) -> Findings:
    for name, advice in _DEAD.items():
        count = _count(stack, stack.of_kind("SQS::Queue")[name])
        yield wrong(name, f"{count} rest in it; {advice}") if count else ok(name, "it is empty")


def _count(stack: Stack, url: str) -> int:
    names = [f"ApproximateNumberOfMessages{state}" for state in _STATES]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(each) for each in answer["Attributes"].values())


def _age_of_oldest(stack: Stack, name: str) -> float:
    """Return seconds, 0 for a queue about which CloudWatch has no news because it is idle."""
    now = datetime.now(UTC)
    answer = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        StartTime=now - timedelta(minutes=_MINUTES),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    return points[-1]["Maximum"] if points else 0.0
