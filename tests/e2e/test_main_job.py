"""Requests of every kind become one e-mail and one result each."""

import json
from concurrent.futures import ThreadPoolExecutor

from local.stack import subscribe_queue
from tests.e2e.outside import Outside


def test_requests_of_every_kind_are_sent_once_and_answered_once(stack: Outside) -> None:
    users = [stack.invited_user() for _ in range(15)]
    sns = stack.aws.client("sns")
    topic_arn = sns.create_topic(Name="crm")["TopicArn"]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=stack.stack.request_queue_arn)
    # First, or the others could have taken all tokens.
    by_call = stack.invoke({"user_id": users[14], "request_id": "e2e-direct"})
    by_queue = [stack.send({"user_id": user}) for user in users[:12]]
    by_event = stack.put_event({"user_id": users[12]})
    notification = {"user_id": users[13], "request_id": "of-a-topic", "correlation_id": "order-66"}
    sns.publish(TopicArn=topic_arn, Message=json.dumps(notification))

    results = stack.results([*by_queue, by_event, "of-a-topic", "e2e-direct"])

    assert {result["status"] for result in results.values()} == {"sent"}
    assert [results[name]["source"] for name in by_queue] == ["sqs"] * 12
    assert results[by_event]["source"] == "eventbridge"
    assert results["of-a-topic"]["source"] == "sns"
    assert results["of-a-topic"]["correlation_id"] == "order-66"
    assert by_call == {"results": [results["e2e-direct"]]}
    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 15


def test_results_can_be_filtered_on_by_their_message_attributes(stack: Outside) -> None:
    queue_url = subscribe_queue(
        stack.aws,
        "only-events-sent",
        stack.stack.result_topic_arn,
        {"status": ["sent"], "reason": ["invited"], "source": ["eventbridge"]},
    )
    wanted = stack.put_event({"user_id": stack.invited_user()})
    others = [stack.send({"user_id": stack.invited_user()}), stack.put_event({"user_id": "nobody"})]
    stack.results([wanted, *others])

    received = stack.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)["Messages"]

    assert [json.loads(each["Body"])["request_id"] for each in received] == [wanted]


def test_invocation_with_ten_users_answers_with_their_results(stack: Outside) -> None:
    users = [stack.invited_user() for _ in range(10)]

    answer = stack.invoke({"user_ids": users, "request_id": "few"})

    assert [result["user_id"] for result in answer["results"]] == users
    assert {result["status"] for result in answer["results"]} <= {"sent", "queued"}
    published = stack.results(result["request_id"] for result in answer["results"])
    assert {result["status"] for result in published.values()} == {"sent"}
    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 10


def test_invocation_with_many_users_queues_them_and_invites_each(stack: Outside) -> None:
    users = [stack.invited_user() for _ in range(25)]

    answer = stack.invoke({"user_ids": users, "request_id": "campaign"})

    assert [result["user_id"] for result in answer["results"]] == users
    assert {result["status"] for result in answer["results"]} == {"queued"}
    published = stack.results(result["request_id"] for result in answer["results"])
    assert {result["status"] for result in published.values()} == {"sent"}
    assert sorted(result["user_id"] for result in published.values()) == sorted(users)


def test_order_on_the_queue_invites_each_user_once(stack: Outside) -> None:
    users = [stack.invited_user() for _ in range(3)]
    order = {"user_ids": [*users, users[0]], "correlation_id": "order-7"}

    stack.send(order)
    stack.wait(lambda: all(stack.partoo.emails(user) for user in users))
    stack.wait_until_idle()

    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 3
    results = [each.result for each in stack.published if each.result["user_id"] in users]
    assert {result["correlation_id"] for result in results} == {"order-7"}


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


def test_request_may_wait_for_the_window_and_its_caller_learns_so(brisk_stack: Outside) -> None:
    user = brisk_stack.invited_user()
    brisk_stack.invoke({"user_id": user})

    answer = brisk_stack.invoke(
        {"user_id": user, "request_id": "wait-for-me", "on_active_window": "defer"}
    )
    skipped = brisk_stack.send({"user_id": user})

    assert answer["results"] == [
        {
            "request_id": "wait-for-me",
            "user_id": user,
            "status": "queued",
            "reason": "window_active",
        }
    ]
    assert brisk_stack.result(skipped)["reason"] == "window_active"
    assert brisk_stack.result("wait-for-me")["status"] == "sent"
    assert len(brisk_stack.partoo.emails(user)) == 2
    brisk_stack.assert_window_held(user)
