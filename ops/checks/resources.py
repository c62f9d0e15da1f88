"""Functions, schedules, queues and alarms: whether they run, and whether somebody is notified."""

from datetime import UTC, datetime, timedelta

from ops.checks.stack import Findings, Stack, look, ok, wrong

# What a published version freezes.
_SETTINGS = "CodeSha256 Environment Handler Layers MemorySize Timeout TracingConfig VpcConfig"
# Of the alarm BacklogOld.
_OLD_SECONDS = 3600
_DEAD = {
    "DeadLetterQueue": "read their reason, then make redrive: docs/runbook.md#dead-letters",
    "SweepDeadLetterQueue": "docs/runbook.md#sweep-dead-letters",
}


def event_sources(stack: Stack) -> Findings:
    found = stack.of_kind("Lambda::EventSourceMapping")
    for name, uuid in found.items():
        state = stack.client("lambda").get_event_source_mapping(UUID=uuid)["State"]
        if state in ("Creating", "Enabling", "Updating"):
            yield look(f"{name} is {state}; run this again later")
        elif state != "Enabled":
            command = f"aws lambda update-event-source-mapping --enabled --uuid {uuid}"
            yield wrong(f"{name} is {state}, nobody reads its queue; {command}")
    yield ok(f"{len(found)} are enabled")


def live_version(stack: Stack) -> Findings:
    """Compare the settings of the alias: a gradual deployment may keep older ones."""
    name, _, alias = stack.deployed.output("ReinviteFunctionName").partition(":")
    functions = stack.client("lambda")
    newest = functions.get_function_configuration(FunctionName=name)
    live = functions.get_function_configuration(FunctionName=name, Qualifier=alias)
    different = [each for each in _SETTINGS.split() if newest.get(each) != live.get(each)]
    if different:
        yield wrong(
            f"version {live['Version']} lacks the newest settings ({', '.join(different)}); "
            f"publish one: aws lambda publish-version --function-name {name}, and then, with the "
            f"version that it returns, aws lambda update-alias --function-name {name} "
            f"--name {alias} --function-version VERSION"
        )
    else:
        yield ok(f"version {live['Version']} has the newest settings")


def schedules(stack: Stack) -> Findings:
    (group,) = stack.of_kind("Scheduler::ScheduleGroup").values()
    sweeps = stack.deployed.parameters["SweepState"]
    for name, physical_id in stack.of_kind("Scheduler::Schedule").items():
        answer = stack.client("scheduler").get_schedule(Name=physical_id, GroupName=group)
        expected = sweeps if "Sweep" in name else "ENABLED"
        if answer["State"] != expected:
            text = f"{name} is {answer['State']}, the stack's parameters say {expected}"
            yield wrong(f"{text}; change it in EventBridge Scheduler")
    yield ok(f"the daily check is on, sweeps are {sweeps}")


def queues(stack: Stack) -> Findings:
    urls = stack.of_kind("SQS::Queue")
    age = _age_of_oldest(stack, urls["RequestQueue"].rpartition("/")[2])
    if age > _OLD_SECONDS:
        text = f"a message is {age:.0f} s old on the request queue"
        yield wrong(f"{text}; docs/runbook.md#backlog-old")
    counts = {name: _count(stack, name) for name in urls}
    for name, advice in _DEAD.items():
        if counts[name]:
            yield wrong(f"{counts[name]} dead letters rest in it; {advice}", name)
    yield ok(", ".join(f"{name} {count}" for name, count in counts.items()))


def alarms(stack: Stack) -> Findings:
    found = stack.of_kind("CloudWatch::Alarm")
    answer = stack.client("cloudwatch").describe_alarms(
        AlarmNames=list(found.values()), MaxRecords=100
    )
    known = {alarm["AlarmName"]: alarm for alarm in answer["MetricAlarms"]}
    for name, physical_id in found.items():
        alarm = known.get(physical_id)
        if alarm is None:
            yield wrong(f"{name} is gone, deploy again")
        elif alarm["StateValue"] == "ALARM":
            yield wrong(f"{name} is up; {alarm['AlarmDescription'].rpartition('Runbook: ')[2]}")
        elif not alarm["ActionsEnabled"]:
            command = f"aws cloudwatch enable-alarm-actions --alarm-names {physical_id}"
            yield wrong(f"{name} notifies nobody; {command}")
    yield ok(f"none of {len(found)} is up")


def subscribers(stack: Stack, *, of: str) -> Findings:
    """Of the topic of `Alarm`s or of `Result`s."""
    topic = stack.deployed.output(f"{of}TopicArn")
    pages = stack.client("sns").get_paginator("list_subscriptions_by_topic")
    found = [each for page in pages.paginate(TopicArn=topic) for each in page["Subscriptions"]]
    if confirmed := sum(each["SubscriptionArn"].startswith("arn:") for each in found):
        yield ok(f"{confirmed} confirmed subscriptions")
    elif found:
        yield look("nobody has confirmed: follow the link in the e-mail from AWS")
    else:
        email = ", or deploy with AlarmEmail" if of == "Alarm" else ""
        yield look(f"nobody gets the {of.lower()}s: subscribe to {topic}{email}")


def _count(stack: Stack, name: str) -> int:
    attributes, states = stack.attributes(name), ("", "NotVisible", "Delayed")
    return sum(int(attributes[f"ApproximateNumberOfMessages{state}"]) for state in states)


def _age_of_oldest(stack: Stack, name: str) -> float:
    """Return seconds, 0 for a queue about which CloudWatch has no news because it is idle."""
    now = datetime.now(UTC)
    answer = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        StartTime=now - timedelta(minutes=15),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    return points[-1]["Maximum"] if points else 0.0
