"""The rules that the template must keep, whatever else changes in it."""

import tomllib
from typing import Any

import pytest

from tests.documents import text_of
from tests.infrastructure.template import (
    EVERYTHING_ON,
    FUNCTIONS,
    MONITORING,
    PARAMETERS,
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
    @pytest.mark.parametrize("name", ["RequestQueue", "RetryQueue", "BulkQueue", "SweepQueue"])
    def test_message_outlasts_throttling_and_two_hours_of_crashes(self, name: str) -> None:
        visible_again, redrive = QUEUES[name]["VisibilityTimeout"], QUEUES[name]["RedrivePolicy"]
        prefix = "Sweep" if name == "SweepQueue" else ""

        # AWS recommends six executions.
        assert visible_again >= 6 * REINVITE["Timeout"]
        # A sweep goes on only after the execution that died.
        assert visible_again > SWEEPS["Timeout"]
        assert redrive["deadLetterTargetArn"] == arn(f"{prefix}DeadLetterQueue")
        assert redrive["maxReceiveCount"] * visible_again >= 2 * 3600

    def test_message_is_kept_as_long_as_possible_and_the_history_longer(self) -> None:
        kept = {name: each.get("MessageRetentionPeriod") for name, each in QUEUES.items()}

        # After SQS's four days, a sweep that nobody carried on is out of date.
        del kept["SweepQueue"]
        assert set(kept.values()) == {FOURTEEN_DAYS}
        assert PARAMETERS["HistoryDays"]["MinValue"] * 86_400 > 2 * FOURTEEN_DAYS

    def test_each_is_read_by_executions_of_its_own_that_report_what_failed(self) -> None:
        events = [*REINVITE["Events"].values(), *SWEEPS["Events"].values()]
        sources = [each["Properties"] for each in events if each["Type"] == "SQS"]

        read = [each["Queue"]["Fn::GetAtt"][0] for each in sources]
        assert sorted(read) == sorted(name for name in QUEUES if "DeadLetter" not in name)
        assert all("MaximumConcurrency" in each["ScalingConfig"] for each in sources)
        assert all(each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in sources)

    def test_event_or_asynchronous_invocation_that_fails_is_kept(self) -> None:
        (target,) = RESOURCES["PendingEventRule"]["Properties"]["Targets"]

        assert target["DeadLetterConfig"] == {"Arn": arn("DeadLetterQueue")}
        assert REINVITE["DeadLetterQueue"]["TargetArn"] == arn("DeadLetterQueue")
        assert SWEEPS["DeadLetterQueue"]["TargetArn"] == arn("SweepDeadLetterQueue")

    def test_deferring_is_not_taken_for_a_loop(self) -> None:
        """Lambda's detection stops sixteen rounds of a function and a queue."""
        assert TEMPLATE["Globals"]["Function"]["RecursiveLoop"] == "Allow"


class TestFunctions:
    def test_layer_fits_their_python_and_their_processor(self) -> None:
        settings, layer = TEMPLATE["Globals"]["Function"], RESOURCES["DependenciesLayer"]

        assert layer["Properties"]["CompatibleRuntimes"] == [settings["Runtime"]]
        assert layer["Properties"]["CompatibleArchitectures"] == settings["Architectures"]
        assert [layer["Metadata"]["BuildArchitecture"]] == settings["Architectures"]

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_write_a_log_that_ends(self, name: str) -> None:
        logging = function(name)["LoggingConfig"]
        group = RESOURCES[logging["LogGroup"]["Ref"]]["Properties"]

        assert logging["LogFormat"] == "JSON"
        # Longer than a message can live on two queues.
        assert group["RetentionInDays"] * 86_400 > 2 * FOURTEEN_DAYS

    def test_schedules_start_sweeps_only_when_wanted_and_the_check_always(self) -> None:
        sweeps, check = (each["Events"]["Schedule"]["Properties"] for each in (SWEEPS, CHECK))

        assert (sweeps["State"], check.get("State")) == ({"Ref": "SweepState"}, None)
        assert PARAMETERS["SweepState"]["Default"] == "DISABLED"
        # EventBridge Scheduler may assume SAM's own role for any account.
        assert sweeps["RoleArn"] == check["RoleArn"] == arn("ScheduleRole")
        # The alarm ScheduleFailed counts by group.
        assert sweeps["GroupName"] == check["GroupName"] == {"Ref": "ScheduleGroup"}

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_are_traced_only_when_that_is_wanted(self, name: str) -> None:
        traced, untraced = expanded(EVERYTHING_ON), expanded()

        mode = traced[name]["Properties"]["TracingConfig"]["Mode"]
        assert mode in ("Active", {"Ref": "Tracing"})
        assert "AWSXrayWriteOnlyAccess" in str(traced[f"{name}Role"])
        assert "TracingConfig" not in untraced[name]["Properties"]
        assert "AWSXrayWriteOnlyAccess" not in str(untraced[f"{name}Role"])

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_are_in_a_network_when_one_is_given_and_else_in_none(self, name: str) -> None:
        ids = ("SubnetIds", "SecurityGroupIds")
        network = {each: {"Fn::Split": [",", {"Ref": each}]} for each in ids}

        in_vpc = {"Fn::If": ["IsInVpc", network, {"Ref": "AWS::NoValue"}]}
        assert function(name)["VpcConfig"] == in_vpc
        assert TEMPLATE["Conditions"]["IsInVpc"] == is_given("SubnetIds")


@pytest.mark.parametrize(
    ("given", "missing"), [("SubnetIds", "SecurityGroupIds"), ("SecurityGroupIds", "SubnetIds")]
)
def test_both_parameters_of_the_network_are_given_or_neither(given: str, missing: str) -> None:
    rules = TEMPLATE["Rules"].values()
    (rule,) = [each for each in rules if each["RuleCondition"] == is_given(given)]

    assert [each["Assert"] for each in rule["Assertions"]] == [is_given(missing)]


class TestLedgerAndSecret:
    def test_ledger_forgets_by_the_attribute_that_the_code_writes(self) -> None:
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
        secret, policy = RESOURCES["ApiKeySecret"], RESOURCES["ApiKeySecretPolicy"]

        assert secret["Condition"] == policy["Condition"] == "MakesSecret"
        none_is_given = {"Fn::Equals": [{"Ref": "ApiKeySecretArn"}, ""]}
        assert TEMPLATE["Conditions"]["MakesSecret"] == none_is_given
        assert secret["Properties"].keys() == {"Description", "KmsKeyId"}


def test_names_leave_room_for_other_stacks_and_regions() -> None:
    """Dashboards are global: a second region would find the name taken."""
    named = {
        str(each["Properties"][key])
        for each in (expanded() | MONITORING["Resources"]).values()
        for key in ("Name", each["Type"].rpartition(":")[2] + "Name")
        # An inline policy's name is its role's own matter.
        if key in each.get("Properties", {}) and each["Type"] != "AWS::IAM::Policy"
    }

    # The local transform reduces `Sub` to its text. The alias is the function's own.
    assert {each for each in named if "${AWS::StackName}" not in each} == {
        "live",
        str({"Fn::Sub": "${ApplicationName}-${AWS::Region}"}),
    }


def test_environments_are_stacks_of_their_own_and_production_alone_calls_the_real_api() -> None:
    names = ("dev", "sandbox", "production")
    found = tomllib.loads(text_of("samconfig.toml"))
    dev, sandbox, production = (found[name]["deploy"]["parameters"] for name in names)

    assert len({each["stack_name"] for each in (dev, sandbox, production)}) == 3
    for_trials = "PartooBaseUrl=https://api.sandbox.partoo.co/v2"
    assert for_trials in dev["parameter_overrides"]
    assert for_trials in sandbox["parameter_overrides"]
    assert production["confirm_changeset"] is True
    assert {
        "PartooBaseUrl=https://api.partoo.co/v2",
        "GradualDeployment=true",
        "DeletionProtection=true",
    } <= {*production["parameter_overrides"]}


def is_given(parameter: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}
