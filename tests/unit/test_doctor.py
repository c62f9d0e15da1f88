"""Findings of the doctor that the local AWS cannot show."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.errors import CommandError
from ops.checks.events import Sample, sample, user_id_path
from ops.checks.functions import live_version
from ops.checks.key import key
from ops.checks.notifications import alarm_subscribers
from ops.checks.stack import Stack, Verdict
from ops.checks.state import stack_state
from ops.deployed import Deployed
from ops.doctor import examine
from tests.unit.test_deploy import Secrets


class Functions:
    """A function whose live version has other settings than the newest."""

    def __init__(self, live: Mapping[str, Any]) -> None:
        self.live = live

    def get_function_configuration(self, **names: str) -> dict[str, Any]:
        newest = {"CodeSha256": "a", "VpcConfig": {"SubnetIds": ["subnet-1"]}}
        is_newest = names == {"FunctionName": "function"}
        return newest if is_newest else {**newest, "Version": "7", **self.live}


@pytest.mark.parametrize(
    ("live", "verdict"),
    [
        ({}, Verdict.OK),
        ({"CodeSha256": "b"}, Verdict.WRONG),
        ({"VpcConfig": {"SubnetIds": []}}, Verdict.WRONG),
        ({"TracingConfig": {"Mode": "Active"}}, Verdict.WRONG),
    ],
)
def test_live_version_must_have_the_newest_settings_and_network(
    live: Mapping[str, Any], verdict: Verdict
) -> None:
    deployed = Deployed("shop", {"ReinviteFunctionName": "function:live"})

    (finding,) = live_version(Stack(deployed, {"lambda": Functions(live)}))

    assert finding.verdict == verdict
    assert all(name in finding.text for name in live)


@pytest.mark.parametrize(
    ("path", "is_made_up", "verdict"),
    [
        ("detail.user_id", False, Verdict.OK),
        ("detail.", True, Verdict.WRONG),
        ("detail.partoo_id", True, Verdict.LOOK),
        ("detail.partoo_id", False, Verdict.WRONG),
        ("to_string(detail.partoo_id)", False, Verdict.WRONG),
        ("length(detail.partoo_id)", False, Verdict.WRONG),
    ],
)
def test_user_id_path_must_find_a_user_in_an_event_of_the_crm(
    path: str, is_made_up: bool, verdict: Verdict
) -> None:
    deployed = Deployed("shop", {"ReinviteFunctionName": "function:live"})
    functions = Functions({"Environment": {"Variables": {"USER_ID_PATH": path}}})
    event = Sample({"detail": {"user_id": "u1"}}, is_made_up)

    (finding,) = user_id_path(Stack(deployed, {"lambda": functions}), event)

    assert (finding.verdict, path in finding.text) == (verdict, True)


@pytest.mark.parametrize(
    ("value", "verdict", "text"),
    [
        (None, Verdict.LOOK, "requests wait"),
        ("", Verdict.LOOK, "requests wait"),
        ("x-APIKey: hush-hush", Verdict.WRONG, "a line with a name"),
    ],
)
def test_secret_without_a_key_is_explained_without_its_value(
    value: str | None, verdict: Verdict, text: str
) -> None:
    deployed = Deployed("shop", {"ApiKeySecretArn": "arn"})

    (finding,) = key(Stack(deployed, {"secretsmanager": Secrets(value)}))

    assert (finding.verdict, text in finding.text) == (verdict, True)
    assert "hush-hush" not in finding.text


class Topics:
    def get_paginator(self, _: str) -> "Topics":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]}]


def test_subscription_that_waits_for_its_confirmation_notifies_nobody() -> None:
    deployed = Deployed("shop", {"AlarmTopicArn": "arn"})

    (finding,) = alarm_subscribers(Stack(deployed, {"sns": Topics()}))

    assert finding.verdict == Verdict.LOOK
    assert "nobody has confirmed" in finding.text


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("UPDATE_COMPLETE", Verdict.OK),
        ("UPDATE_IN_PROGRESS", Verdict.LOOK),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.LOOK),
        ("UPDATE_ROLLBACK_FAILED", Verdict.WRONG),
    ],
)
def test_stack_is_judged_by_its_last_deployment(status: str, verdict: Verdict) -> None:
    (finding,) = stack_state(Stack(Deployed("shop", {}, status=status)))

    assert finding.verdict == verdict


class Account:
    """An AWS whose only resources are those of its stack."""

    meta = SimpleNamespace(region_name="eu-west-1")

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/operator"}


def test_stack_whose_first_deployment_failed_is_looked_over_no_further() -> None:
    deployed = Deployed("shop", {}, status="ROLLBACK_COMPLETE")

    findings = list(examine(Stack(deployed, {"sts": Account()})))

    assert [each.subject for each in findings] == ["account", "stack"]


def test_stack_of_another_application_is_not_looked_over() -> None:
    deployed = Deployed("shop", {"Url": "https://shop"})

    with pytest.raises(CommandError):
        list(examine(Stack(deployed, {"sts": Account()})))


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
def test_event_that_is_none_is_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "event.json"
    path.write_text(text)

    with pytest.raises(CommandError, match="is not a JSON file with an EventBridge event"):
        sample(str(path), {})
