"""The rules that the template must keep, whatever else changes in it."""

import tomllib
from typing import Any

import pytest

from tests.infrastructure.template import (
    EVERYTHING_ON,
    FUNCTIONS,
    MONITORING,
    PARAMETERS,
    REPOSITORY,
    RESOURCES,
    TEMPLATE,
    arn,
    expanded,
    function,
    resources_of_type,
)

FOURTEEN_DAYS = 14 * 86_400
QUEUES = resources_of_type("AWS::SQS::Queue")
REINVITE, SWEEPS, CHECK = (
    function(f"{name}Function") for name in ("ReinviteUser", "SweepInvitations", "CheckKey")
)


class TestQueues:
    @pytest.mark.parametrize("name", ["RequestQueue", "RetryQueue", "BulkQueue"])
    def test_message_outlasts_throttling_and_two_hours_of_crashes(self, name: str) -> None:
        queue, redrive = QUEUES[name], QUEUES[name]["RedrivePolicy"]

        # AWS recommends six executions.
        assert queue["VisibilityTimeout"] >= 6 * REINVITE["Timeout"]
        assert redrive["deadLetterTargetArn"] == arn("DeadLetterQueue")
        assert redrive["maxReceiveCount"] * queue["VisibilityTimeout"] >= 2 * 3600

    def test_message_is_kept_as_long_as_possible_and_the_history_longer(self) -> None:
        kept = {name: each.get("MessageRetentionPeriod") for name, each in QUEUES.items()}

        # After SQS's four days, a sweep that nobody carried on is out of date.
        del kept["SweepQueue"]
        assert set(kept.values()) == {FOURTEEN_DAYS}
        assert PARAMETERS["HistoryDays"]["MinValue"] * 86_400 > 2 * FOURTEEN_DAYS

    def test_each_is_read_by_executions_of_its_own_that_report_what_failed(self) -> None:
        shared = {
            "BatchSize": 10,
            "ScalingConfig": {"MaximumConcurrency": 5},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }

        assert {name: each["Properties"] for name, each in REINVITE["Events"].items()} == {
            "Requests": {"Queue": arn("RequestQueue"), **shared},
            # What comes back from a wait is gathered; new requests are not.
            "Retries": {
                "Queue": arn("RetryQueue"),
                "MaximumBatchingWindowInSeconds": 1,
                **shared,
            },
            "Bulk": {"Queue": arn("BulkQueue"), **shared},
        }

    def test_sweep_goes_on_after_an_execution_that_died_and_rests_after_many(self) -> None:
        event = SWEEPS["Events"]["RescheduledSweeps"]["Properties"]
        redrive = QUEUES["SweepQueue"]["RedrivePolicy"]

        assert (event["Queue"], event["BatchSize"]) == (arn("SweepQueue"), 1)
        assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert QUEUES["SweepQueue"]["VisibilityTimeout"] > SWEEPS["Timeout"]
        assert redrive == {
            "deadLetterTargetArn": arn("SweepDeadLetterQueue"),
            "maxReceiveCount": 20,
        }

    def test_failed_asynchronous_invocation_is_kept_except_for_the_daily_check(self) -> None:
        kept = [each.get("DeadLetterQueue") for each in (REINVITE, SWEEPS, CHECK)]

        assert kept == [
            {"Type": "SQS", "TargetArn": arn("DeadLetterQueue")},
            {"Type": "SQS", "TargetArn": arn("SweepDeadLetterQueue")},
            None,
        ]

    def test_deferring_is_not_taken_for_a_loop(self) -> None:
        """Lambda's detection stops sixteen rounds of a function and a queue."""
        assert TEMPLATE["Globals"]["Function"]["RecursiveLoop"] == "Allow"


def test_rule_hands_whole_events_of_the_crm_to_the_request_queue_and_loses_none() -> None:
    rule = RESOURCES["PendingEventRule"]["Properties"]
    (target,) = rule["Targets"]

    assert rule["EventBusName"] == {"Ref": "EventBusName"}
    assert rule["EventPattern"] == {
        "source": [{"Ref": "PendingEventSource"}],
        "detail-type": [{"Ref": "PendingEventDetailType"}],
    }
    assert target == {
        "Id": "request-queue",
        "Arn": arn("RequestQueue"),
        "DeadLetterConfig": {"Arn": arn("DeadLetterQueue")},
    }


class TestFunctions:
    def test_layer_fits_the_newest_python_on_the_cheaper_processor(self) -> None:
        settings, layer = TEMPLATE["Globals"]["Function"], RESOURCES["DependenciesLayer"]

        assert (settings["Runtime"], settings["Architectures"]) == ("python3.13", ["arm64"])
        assert layer["Properties"]["CompatibleRuntimes"] == [settings["Runtime"]]
        assert layer["Properties"]["CompatibleArchitectures"] == settings["Architectures"]
        assert layer["Metadata"]["BuildArchitecture"] == "arm64"

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_write_a_log_that_ends(self, name: str) -> None:
        logging = function(name)["LoggingConfig"]
        group = RESOURCES[logging["LogGroup"]["Ref"]]["Properties"]

        assert logging["LogFormat"] == "JSON"
        assert group["RetentionInDays"] == 30

    def test_schedules_start_sweeps_when_wanted_and_the_check_daily(self) -> None:
        shared = {
            "OmitName": True,
            "Input": "{}",
            "RoleArn": arn("ScheduleRole"),
            # EventBridge Scheduler counts failures by group, and only when it gives up.
            "GroupName": {"Ref": "ScheduleGroup"},
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600},
        }
        sweeps, check = (each["Events"]["Schedule"]["Properties"] for each in (SWEEPS, CHECK))

        assert sweeps == shared | {
            "Description": sweeps["Description"],
            "ScheduleExpression": {"Ref": "SweepSchedule"},
            "State": {"Ref": "SweepState"},
        }
        assert check == shared | {
            "Description": check["Description"],
            "ScheduleExpression": "cron(17 5 * * ? *)",
        }

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_are_traced_only_when_that_is_wanted(self, name: str) -> None:
        traced, untraced = expanded(EVERYTHING_ON), expanded()

        mode = traced[name]["Properties"]["TracingConfig"]["Mode"]
        assert mode in ("Active", {"Ref": "Tracing"})
        assert "AWSXrayWriteOnlyAccess" in str(traced[f"{name}Role"])
        assert "TracingConfig" not in untraced[name]["Properties"]
        assert "AWSXrayWriteOnlyAccess" not in str(untraced[f"{name}Role"])


class TestLedgerAndSecret:
    def test_forgets_by_the_attribute_that_the_code_writes(self) -> None:
        table = RESOURCES["InvitationTable"]["Properties"]

        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}

    def test_ledger_is_protected_from_deletion_when_that_is_wanted(self) -> None:
        tables = [expanded()["InvitationTable"], expanded(EVERYTHING_ON)["InvitationTable"]]

        assert [each["Properties"]["DeletionProtectionEnabled"] for each in tables] == [False, True]

    @pytest.mark.parametrize("name", ["InvitationTable", "ApiKeySecret"])
    def test_survive_the_stack_but_not_its_failed_creation(self, name: str) -> None:
        """A retained table of a failed first deployment would be found by nobody."""
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"

    def test_secret_is_made_empty_and_only_when_none_is_given(self) -> None:
        secret = RESOURCES["ApiKeySecret"]

        assert (secret["Condition"], RESOURCES["ApiKeySecretPolicy"]["Condition"]) == (
            "MakesSecret",
            "MakesSecret",
        )
        assert TEMPLATE["Conditions"]["MakesSecret"] == {
            "Fn::Equals": [{"Ref": "ApiKeySecretArn"}, ""]
        }
        assert secret["Properties"].keys() == {"Description", "KmsKeyId"}


def test_names_leave_room_for_other_stacks_and_regions() -> None:
    """Dashboards are global: a second region would find the name taken."""
    named = {
        name: each["Properties"][key]
        for name, each in (expanded() | MONITORING["Resources"]).items()
        for key in ("Name", each["Type"].rpartition(":")[2] + "Name")
        # An inline policy's name is its role's own matter.
        if key in each.get("Properties", {}) and each["Type"] != "AWS::IAM::Policy"
    }

    assert named == {
        "ReinviteUserFunctionAliaslive": "live",
        # The local transform reduces `Sub` to its text.
        "ReinviteUserLogGroup": "/aws/lambda/${AWS::StackName}-reinvite-user",
        "SweepInvitationsLogGroup": "/aws/lambda/${AWS::StackName}-sweep-invitations",
        "CheckKeyLogGroup": "/aws/lambda/${AWS::StackName}-check-key",
        "Dashboard": {"Fn::Sub": "${ApplicationName}-${AWS::Region}"},
    }


@pytest.mark.parametrize(
    ("environment", "stack", "url"),
    [
        ("dev", "partoo-reinvite-dev", "https://api.sandbox.partoo.co/v2"),
        ("sandbox", "partoo-reinvite-sandbox", "https://api.sandbox.partoo.co/v2"),
        ("production", "partoo-reinvite", "https://api.partoo.co/v2"),
    ],
)
def test_environment_has_its_own_stack_api_and_tags(environment: str, stack: str, url: str) -> None:
    settings = _samconfig(environment)
    overrides = dict(each.split("=", 1) for each in settings["parameter_overrides"])

    assert settings["stack_name"] == stack
    assert settings["tags"] == ["application=partoo-reinvite", f"environment={environment}"]
    assert overrides.keys() <= PARAMETERS.keys()
    assert overrides["PartooBaseUrl"] == url


def test_production_is_confirmed_gradual_and_protected() -> None:
    settings = _samconfig("production")

    assert settings["confirm_changeset"] is True
    assert {"GradualDeployment=true", "DeletionProtection=true"} <= {
        *settings["parameter_overrides"]
    }


def _samconfig(environment: str) -> dict[str, Any]:
    text = (REPOSITORY / "samconfig.toml").read_text(encoding="utf-8")
    settings: dict[str, Any] = tomllib.loads(text)[environment]["deploy"]["parameters"]
    return settings
