"""Each permission of the functions' roles is needed: without it a step fails, and says which.

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
    ("function", "action", "attempt", "complaint"),
    [
        ("ReinviteUserFunctionRole", "dynamodb:PutItem", _invite, "ledger_unavailable"),
        ("ReinviteUserFunctionRole", "secretsmanager:GetSecretValue", _invite, "key_unavailable"),
        ("ReinviteUserFunctionRole", "sns:Publish", _invite, "topic_unavailable"),
        ("ReinviteUserFunctionRole", "sqs:SendMessage*", _defer, "did not take"),
        ("SweepInvitationsFunctionRole", "dynamodb:PutItem", _sweep, "table did not take"),
        (
            "SweepInvitationsFunctionRole",
            "secretsmanager:GetSecretValue",
            _sweep,
            "key_unavailable",
        ),
        ("SweepInvitationsFunctionRole", "sqs:SendMessage*", _sweep, "did not take"),
        ("SweepInvitationsFunctionRole", "sns:Publish", _sweep, "topic did not take"),
        ("CheckKeyFunctionRole", "dynamodb:PutItem", _check_key, "ledger_unavailable"),
        ("CheckKeyFunctionRole", "secretsmanager:GetSecretValue", _check_key, "key_unavailable"),
    ],
)
def test_function_without_a_permission_says_what_failed(
    brisk_stack: Outside,
    function: str,
    action: str,
    attempt: Callable[[Outside], Any],
    complaint: str,
) -> None:
    brisk_stack.wait_until_idle()
    brisk_stack.reset()

    with _without(brisk_stack, function, action):
        assert complaint in attempt(brisk_stack)

    brisk_stack.wait_until_idle()


@contextmanager
def _without(stack: Outside, role: str, action: str) -> Iterator[None]:
    """Take a permission away from a function's role, for the length of the block."""
    iam = stack.aws.client("iam")
    name = stack.physical_id(role)
    policies = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    }
    taken = {
        policy: [each for each in document["Statement"] if not _allows(each, action)]
        for policy, document in policies.items()
    }
    changed = [name for name in policies if taken[name] != policies[name]["Statement"]]
    assert changed, f"{role} has no permission {action}"
    for policy in changed:
        fewer = {**policies[policy], "Statement": taken[policy] or [_NOTHING]}
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(fewer))
    try:
        yield
    finally:
        for policy in changed:
            iam.put_role_policy(
                RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(policies[policy])
            )


_NOTHING = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}


def _allows(statement: dict[str, Any], action: str) -> bool:
    actions = statement["Action"]
    return statement["Effect"] == "Allow" and action in (
        [actions] if isinstance(actions, str) else actions
    )
