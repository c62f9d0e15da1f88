"""Each statement of the functions' roles is needed: without it something fails, and clearly.

All but the one for a KMS key of one's own: the local AWS asks for no permission on keys.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.partoo.control import User
from tests.e2e.outside import Outside


def _invite(stack: Outside) -> Any:
    # A container that holds the key already would not miss the permission to read it.
    stack.restart_function()
    (result,) = stack.invoke({"user_id": stack.invited_user()})["results"]
    return result["reason"]


def _defer(stack: Outside) -> Any:
    user = stack.invited_user()
    stack.invoke({"user_id": user})
    return stack.invoke({"user_id": user, "on_active_window": "defer"})["errorMessage"]


def _sweep(stack: Outside) -> Any:
    stack.restart_function(stack.stack.sweep_function_name)
    stack.partoo.add_users(User("waiting", created_at=1_577_836_800))
    # No other's, or that one's end would be this one's too.
    answer = stack.sweep(min_age_hours=0, max_invites=secrets.randbelow(10**6) + 1_000)
    return answer.get("cause") or answer["errorMessage"]


def _check_key(stack: Outside) -> Any:
    stack.restart_function(stack.stack.check_key_function_name)
    return stack.check_key()["reason"]


@pytest.mark.parametrize(
    ("function", "statement", "attempt", "complaint"),
    [
        ("ReinviteUserFunctionRole", "KeepTheLedger", _invite, "ledger_unavailable"),
        ("ReinviteUserFunctionRole", "ReadTheApiKey", _invite, "key_unavailable"),
        ("ReinviteUserFunctionRole", "PublishResults", _invite, "topic_unavailable"),
        ("ReinviteUserFunctionRole", "DeferAndPark", _defer, "the queue did not take"),
        (
            "SweepInvitationsFunctionRole",
            "ReadTheLedgerAndKeepTheSweep",
            _sweep,
            "the sweep item did not take",
        ),
        ("SweepInvitationsFunctionRole", "ReadTheApiKey", _sweep, "key_unavailable"),
        ("SweepInvitationsFunctionRole", "AskAgainAndPutOff", _sweep, "the queue did not take"),
        ("SweepInvitationsFunctionRole", "PublishSummaries", _sweep, "topic_unavailable"),
        ("CheckKeyFunctionRole", "KeepToTheQuota", _check_key, "ledger_unavailable"),
        ("CheckKeyFunctionRole", "ReadTheApiKey", _check_key, "key_unavailable"),
    ],
)
def test_a_function_does_not_do_without(
    brisk_stack: Outside,
    function: str,
    statement: str,
    attempt: Callable[[Outside], Any],
    complaint: str,
) -> None:
    brisk_stack.settle()

    with _without(brisk_stack, function, statement):
        assert complaint in attempt(brisk_stack)

    brisk_stack.settle()


@contextmanager
def _without(stack: Outside, role: str, statement: str) -> Iterator[None]:
    """Take one statement away from a function's role, for the length of the block."""
    iam = stack.aws.client("iam")
    name = stack.aws.client("cloudformation").describe_stack_resource(
        StackName=stack.stack.name, LogicalResourceId=role
    )["StackResourceDetail"]["PhysicalResourceId"]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        kept = [each for each in document["Statement"] if each.get("Sid") != statement]
        if kept == document["Statement"]:
            continue
        fewer = {**document, "Statement": kept}
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(fewer))
        try:
            yield
        finally:
            iam.put_role_policy(
                RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        return
    raise AssertionError(f"{role} has no statement {statement}")
