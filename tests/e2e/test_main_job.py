"""Requests of every kind become one e-mail and one result each, and none is lost."""

import json
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.outside import Outside


def test_requests_of_every_kind_are_sent_once_and_answered_once(stack: Outside) -> None:
    users = [stack.invited_user() for _ in range(15)]
    by_queue_of, of_event, of_topic, of_call = users[:12], *users[12:]
    sns = stack.aws.client("sns")
    topic_arn = sns.create_topic(Name="crm")["TopicArn"]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=stack.stack.request_queue_arn)
    # First, or the others could have taken all tokens.
    by_call = stack.invoke({"user_id": of_call, "request_id": "e2e-direct"})
    by_queue = [stack.send({"user_id": user}) for user in by_queue_of]
    by_event = stack.put_event({"user_id": of_event})
    notification = {"user_id": of_topic, "request_id": "of-a-topic", "correlation_id": "order-66"}
    sns.publish(TopicArn=topic_arn, Message=json.dumps(notification))

    results = stack.results([*by_queue, by_event, "of-a-topic", "e2e-direct"])

    assert {result["status"] for result in results.values()} == {"sent"}
    assert {name: result["source"] for name, result in results.items()} == {
        **dict.fromkeys(by_queue, "sqs"),
        by_event: "eventbridge",
        "of-a-topic": "sns",
        "e2e-direct": "direct",
    }
    assert results["of-a-topic"]["correlation_id"] == "order-66"
    assert by_call == {"results": [results["e2e-direct"]]}
    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 15


def test_fifty_triggers_for_one_user_at_once_make_one_call(stack: Outside) -> None:
    user = stack.invited_user()
    with ThreadPoolExecutor(4) as callers:
        queued = list(callers.map(lambda _: stack.send({"user_id": user}), range(40)))
        answers = list(callers.map(lambda _: stack.invoke({"user_id": user}), range(10)))
    direct = [answer["results"][0]["request_id"] for answer in answers]

    results = stack.results([*queued, *direct])

    statuses = sorted(result["status"] for result in results.values())
    assert statuses == ["sent"] + ["skipped"] * 49
    assert len(stack.partoo.calls(user)) == 1
