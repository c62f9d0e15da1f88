"""AWS fails, executions die: no request is lost, no e-mail is one too many."""

from collections.abc import Iterator

import pytest

from local.faults import Fault, FaultProxy
from local.partoo.control import Answer
from local.workers import kill_workers
from tests.e2e.conftest import EXECUTION_SECONDS, MAX_ATTEMPTS
from tests.e2e.outside import Outside

# The template's.
_VISIBILITY_SECONDS = 360
# A batch that the local AWS hands to a worker which has just been killed comes back only when its
# visibility is over.
_START_SECONDS = 75.0
# The SDK makes three tries of a call before it gives up.
_TRIES = 3
# What is in the body of each kind of write.
_CLAIM = '"claim_request_id"'
_SAVE = '"REQUEST#'
_LIMITER = '"LIMITER"'


@pytest.fixture
def frail_stack(brisk_stack: Outside, faults: FaultProxy) -> Iterator[Outside]:
    """The brisk stack, at rest, whose messages come back soon when their execution has died."""
    # What another test has left on the queue would meet this one's faults.
    brisk_stack.wait_until_idle()
    # A batch that is still alive must not be handed out twice.
    brisk_stack.set_visibility(EXECUTION_SECONDS + 2)
    yield brisk_stack
    brisk_stack.set_visibility(_VISIBILITY_SECONDS)


def test_request_that_two_executions_carry_out_is_called_once(stack: Outside) -> None:
    user = stack.invited_user(Answer(hold=True))
    stack.send({"user_id": user, "request_id": "twofold"})
    stack.partoo.wait_for_calls(1, user, _START_SECONDS)

    again = stack.invoke({"user_id": user, "request_id": "twofold"})
    another = stack.invoke({"user_id": user, "request_id": "a rival"})
    stack.partoo.release()

    assert again["results"][0]["reason"] == "in_progress"
    assert another["results"][0]["reason"] == "window_active"
    assert stack.result("twofold")["status"] == "sent"
    assert len(stack.partoo.calls(user)) == 1


def test_lost_reply_to_a_claim_or_a_save_costs_no_second_call(
    stack: Outside, faults: FaultProxy
) -> None:
    faults.inject("dynamodb", Fault.LOSE_REPLY, operation="PutItem", containing=_CLAIM, times=1)
    claimed = stack.invited_user(Answer(hold=True))
    request = stack.send({"user_id": claimed})
    stack.partoo.wait_for_calls(1, claimed, _START_SECONDS)
    faults.inject("dynamodb", Fault.LOSE_REPLY, operation="PutItem", containing=_SAVE, times=1)
    stack.partoo.release()

    result = stack.result(request)

    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert faults.injected["dynamodb", Fault.LOSE_REPLY] == 2
    assert len(stack.partoo.calls(claimed)) == 1


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.THROTTLE])
def test_failing_claims_delay_requests(
    frail_stack: Outside, faults: FaultProxy, fault: Fault
) -> None:
    users = [frail_stack.invited_user() for _ in range(8)]
    faults.inject(
        "dynamodb", fault, operation="PutItem", containing=_CLAIM, times=_TRIES * len(users)
    )
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["dynamodb", fault] == 24
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 8


def test_unreadable_ledger_delays_requests(frail_stack: Outside, faults: FaultProxy) -> None:
    users = [frail_stack.invited_user() for _ in range(8)]
    faults.inject("dynamodb", Fault.REFUSE, operation="BatchGetItem", times=_TRIES * len(users))
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["dynamodb", Fault.REFUSE] == 24
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 8


def test_failing_limiter_delays_requests(frail_stack: Outside, faults: FaultProxy) -> None:
    users = [frail_stack.invited_user() for _ in range(8)]
    faults.inject("dynamodb", Fault.REFUSE, operation="PutItem", containing=_LIMITER, times=_TRIES)
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["dynamodb", Fault.REFUSE] == _TRIES
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 8


def test_silent_ledger_delays_requests(frail_stack: Outside, faults: FaultProxy) -> None:
    users = [frail_stack.invited_user() for _ in range(3)]
    faults.inject(
        "dynamodb", Fault.HANG, operation="PutItem", containing=_CLAIM, times=_TRIES * len(users)
    )
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 3


def test_result_that_cannot_be_saved_travels_with_the_message_and_is_saved_later(
    stack: Outside, faults: FaultProxy
) -> None:
    user = stack.invited_user(Answer(hold=True))
    request = stack.send({"user_id": user})
    stack.partoo.wait_for_calls(1, user, _START_SECONDS)
    faults.inject("dynamodb", Fault.REFUSE, operation="PutItem", containing=_SAVE, times=_TRIES + 1)
    stack.partoo.release()

    result = stack.result(request)

    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert faults.injected["dynamodb", Fault.REFUSE] == _TRIES + 1
    assert len(stack.partoo.calls(user)) == 1


def test_result_that_the_topic_does_not_take_is_published_later(
    stack: Outside, faults: FaultProxy
) -> None:
    users = [stack.invited_user() for _ in range(4)]
    faults.inject("sns", Fault.REFUSE, times=_TRIES * len(users))
    requests = stack.send_together({"user_id": user} for user in users)

    results = stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["sns", Fault.REFUSE] == 12
    assert [len(stack.partoo.calls(user)) for user in users] == [1] * 4


def test_result_whose_publication_is_not_confirmed_is_published_again_unchanged(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    users = [frail_stack.invited_user() for _ in range(4)]
    # The batch's results are published together, and the SDK repeats what was not confirmed.
    faults.inject("sns", Fault.LOSE_REPLY, times=1)
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    # How many of them shared that one publication is for the queue to say.
    frail_stack.wait(lambda: len(frail_stack.results_so_far(requests)) > len(users))
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 4


def test_request_that_cannot_be_deferred_returns_after_the_visibility_timeout(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    # Nobody dies here: a batch of the queue is over in the few seconds of the SDK's tries.
    frail_stack.set_visibility(10)
    users = [frail_stack.invited_user() for _ in range(4)]
    frail_stack.invoke({"user_ids": users})
    faults.inject("sqs", Fault.REFUSE, operation="SendMessageBatch", times=_TRIES * len(users))
    requests = frail_stack.send_together(
        {"user_id": user, "on_active_window": "defer"} for user in users
    )

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["sqs", Fault.REFUSE] == 12
    assert [len(frail_stack.partoo.emails(user)) for user in users] == [2] * 4
    for user in users:
        frail_stack.assert_window_held(user)


def test_requests_wait_for_a_key_that_cannot_be_read(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    frail_stack.restart_function()
    users = [frail_stack.invited_user() for _ in range(3)]
    faults.inject("secretsmanager", Fault.REFUSE, times=_TRIES * len(users))
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["secretsmanager", Fault.REFUSE] == 9
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 3


def test_silent_secrets_manager_costs_no_execution_its_time(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    frail_stack.restart_function()
    faults.inject("secretsmanager", Fault.HANG)
    users = [frail_stack.invited_user() for _ in range(4)]

    answer = frail_stack.invoke({"user_ids": users})
    faults.clear()

    assert {result["reason"] for result in answer["results"]} == {"key_unavailable"}
    results = frail_stack.results(result["request_id"] for result in answer["results"])
    assert {result["status"] for result in results.values()} == {"sent"}


def test_killed_executions_cost_no_request_and_no_window(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    # What was killed comes back only when all the killing is over, or it would be killed again.
    frail_stack.set_visibility(30)
    before_call, before_record = (
        frail_stack.invited_user(),
        frail_stack.invited_user(Answer(hold=True)),
    )
    pairs = [[frail_stack.invited_user(Answer(hold=True)) for _ in range(2)] for _ in range(4)]
    requests = [
        _die_before_the_call(frail_stack, faults, before_call),
        _die_before_the_record(frail_stack, faults, before_record),
        *(request for pair in pairs for request in _die_during_the_call(frail_stack, pair)),
    ]
    frail_stack.partoo.release()

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert len(frail_stack.partoo.emails(before_call)) == 1
    assert len(frail_stack.partoo.emails(before_record)) == 2
    for user in [before_record, *(user for pair in pairs for user in pair)]:
        frail_stack.assert_window_held(user)


def test_message_that_can_be_neither_claimed_nor_deferred_repeats_nothing_of_its_batch(
    frail_stack: Outside, faults: FaultProxy
) -> None:
    users = [frail_stack.invited_user() for _ in range(5)]
    faults.inject("dynamodb", Fault.HANG, operation="PutItem", containing=_CLAIM, times=_TRIES)
    faults.inject("sqs", Fault.HANG, times=_TRIES)
    requests = frail_stack.send_together({"user_id": user} for user in users)

    results = frail_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert faults.injected["sqs", Fault.HANG] >= 1
    assert [len(frail_stack.partoo.calls(user)) for user in users] == [1] * 5


def test_redriven_request_is_carried_out_once_more_and_only_once(
    frail_stack: Outside,
) -> None:
    user = frail_stack.invited_user(*[Answer(status=307)] * MAX_ATTEMPTS)
    body = f'{{"user_id": "{user}"}}'
    request = frail_stack.send(body)
    parked = frail_stack.dead_letters([body])[body]

    frail_stack.redrive(parked)
    frail_stack.wait_until_idle()
    frail_stack.redrive(parked)
    frail_stack.wait_until_idle()

    results = frail_stack.results_so_far([request])
    assert [result["status"] for result in results] == ["failed", "sent", "sent"]
    assert results[1] == results[2]
    assert len(frail_stack.partoo.calls(user)) == MAX_ATTEMPTS + 1


def _die_before_the_call(stack: Outside, faults: FaultProxy, user: str) -> str:
    # The claim is made, but its execution never learns of it.
    faults.inject("dynamodb", Fault.LOSE_REPLY, operation="PutItem", containing=_CLAIM, times=1)
    faults.inject("dynamodb", Fault.HANG, operation="PutItem", containing=_CLAIM, times=1)
    request = stack.send({"user_id": user})
    stack.wait(lambda: faults.injected["dynamodb", Fault.HANG] == 1)
    kill_workers(stack.aws)
    return request


def _die_during_the_call(stack: Outside, users: list[str]) -> list[str]:
    requests = stack.send_together({"user_id": user} for user in users)
    stack.partoo.wait_for_calls(1, users[0], _START_SECONDS)
    kill_workers(stack.aws)
    return requests


def _die_before_the_record(stack: Outside, faults: FaultProxy, user: str) -> str:
    request = stack.send({"user_id": user})
    stack.partoo.wait_for_calls(1, user, _START_SECONDS)
    faults.inject("dynamodb", Fault.HANG, operation="PutItem", containing=_SAVE, times=1)
    stack.partoo.release()
    stack.wait(lambda: faults.injected["dynamodb", Fault.HANG] == 2)
    kill_workers(stack.aws)
    return request
