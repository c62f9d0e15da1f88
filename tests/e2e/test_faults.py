"""Executions die at the worst moments: no request is lost, no e-mail is one too many.

The simulation tries all moments, `make chaos` all services; here the processes really die.
"""

from local.faults import Fault, FaultProxy
from local.partoo.control import Answer
from local.workers import kill_workers
from tests.e2e.outside import Outside

# The template's.
_VISIBILITY_SECONDS = 360
# What was killed comes back only when all the killing is over, or it would be killed again.
_RETURN_SECONDS = 30
# A batch that the local AWS hands to a worker which has just been killed comes back only when its
# visibility is over.
_START_SECONDS = 75.0
# What is in the body of each kind of write.
_CLAIM = '"claimed_at"'
_SAVE = '"REQUEST#'


def test_killed_executions_cost_no_request_and_no_window(
    brisk_stack: Outside, faults: FaultProxy
) -> None:
    brisk_stack.wait_until_idle()
    brisk_stack.set_visibility(_RETURN_SECONDS)
    before_call, before_record = (
        brisk_stack.invited_user(),
        brisk_stack.invited_user(Answer(hold=True)),
    )
    pairs = [[brisk_stack.invited_user(Answer(hold=True)) for _ in range(2)] for _ in range(2)]
    requests = [
        _die_before_the_call(brisk_stack, faults, before_call),
        _die_before_the_record(brisk_stack, faults, before_record),
        *(request for pair in pairs for request in _die_during_the_call(brisk_stack, pair)),
    ]
    brisk_stack.partoo.release()

    results = brisk_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert len(brisk_stack.partoo.emails(before_call)) == 1
    assert len(brisk_stack.partoo.emails(before_record)) == 2
    for user in [before_record, *(user for pair in pairs for user in pair)]:
        brisk_stack.assert_window_held(user)
    brisk_stack.set_visibility(_VISIBILITY_SECONDS)


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
