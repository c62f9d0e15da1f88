"""Alarms, and whether somebody gets them and the results."""

from ops.checks.stack import Findings, Stack, look, ok, or_ok, wrong


def alarms(stack: Stack) -> Findings:
    found = stack.of_kind("CloudWatch::Alarm")
    answer = stack.client("cloudwatch").describe_alarms(
        AlarmNames=list(found.values()), MaxRecords=100
    )
    names = {physical_id: name for name, physical_id in found.items()}
    faults = []
    for alarm in answer["MetricAlarms"]:
        name = names.pop(alarm["AlarmName"])
        if alarm["StateValue"] == "ALARM":
            runbook = alarm["AlarmDescription"].rpartition("Runbook: ")[2]
            faults.append(wrong("alarms", f"{name} is up; {runbook}"))
        if not alarm["ActionsEnabled"]:
            command = f"aws cloudwatch enable-alarm-actions --alarm-names {alarm['AlarmName']}"
            faults.append(wrong("alarms", f"{name} notifies nobody; {command}"))
    faults += [wrong("alarms", f"{name} is gone, deploy again") for name in names.values()]
    yield from or_ok(faults, "alarms", f"none of {len(found)} is up")


def alarm_subscribers(stack: Stack) -> Findings:
    confirmed, pending = _subscriptions(stack, stack.deployed.output("AlarmTopicArn"))
    if confirmed:
        yield ok("alarm topic", f"{confirmed} confirmed subscriptions")
    elif pending:
        yield look("alarm topic", "nobody has confirmed: follow the link in the e-mail from AWS")
    else:
        yield look(
            "alarm topic", "nobody gets the alarms: deploy with AlarmEmail, or subscribe to it"
        )


def result_subscribers(stack: Stack) -> Findings:
    topic = stack.deployed.output("ResultTopicArn")
    confirmed, _ = _subscriptions(stack, topic)
    if confirmed:
        yield ok("result topic", f"{confirmed} confirmed subscriptions")
    else:
        yield look("result topic", f"nobody gets the results: subscribe to {topic}")


def _subscriptions(stack: Stack, topic: str) -> tuple[int, int]:
    """Return the numbers of confirmed and of pending subscriptions."""
    pages = (
        stack.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    )
    arns = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
    confirmed = sum(each.startswith("arn:") for each in arns)
    return confirmed, len(arns) - confirmed
