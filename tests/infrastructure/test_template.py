"""The rules that the template must keep, whatever else changes in it."""

import json
import re
import tomllib
from typing import Any

import pytest

from tests.infrastructure.template import (
    FUNCTIONS,
    PARAMETERS,
    REPOSITORY,
    RESOURCES,
    TEMPLATE,
    allowed,
    expanded,
    function,
    references,
)

FOURTEEN_DAYS = 14 * 86_400
SAMCONFIG = tomllib.loads((REPOSITORY / "samconfig.toml").read_text(encoding="utf-8"))

FUNCTION = function("ReinviteUserFunction")
SWEEP_FUNCTION = function("SweepInvitationsFunction")
# Each queue that the function reads, and the name of its event.
WORK_QUEUES = {"Requests": "RequestQueue", "Retries": "RetryQueue", "Bulk": "BulkQueue"}
BATCH_SIZE = 10
TABLE = RESOURCES["InvitationTable"]["Properties"]
VARIABLES = FUNCTION["Environment"]["Variables"]

TABLE_ARN = {"GetAtt": "InvitationTable.Arn"}
DEAD_LETTER_QUEUE_ARN = {"GetAtt": "DeadLetterQueue.Arn"}
REQUEST_QUEUE_ARN = {"GetAtt": "RequestQueue.Arn"}
SECRET_ARN = {"If": ["MakesSecret", {"GetAtt": "ApiKeySecret.Id"}, {"Ref": "ApiKeySecretArn"}]}
CREATED_SECRET_ARN = {"GetAtt": "ApiKeySecret.Id"}


def arn(name: str) -> dict[str, str]:
    return {"GetAtt": f"{name}.Arn"}


class TestParameters:
    def test_have_the_documented_names_and_defaults(self) -> None:
        assert {name: each.get("Default") for name, each in PARAMETERS.items()} == {
            "PartooBaseUrl": "https://api.partoo.co/v2",
            "ApiKeySecretArn": "",
            "PartooTimeoutSeconds": 10,
            "RequestsPerMinute": 300,
            "InviteWindowSeconds": 300,
            "MaxAttempts": 10,
            "UserDailyLimit": 5,
            "HistoryDays": 90,
            "EventBusName": "default",
            "PendingEventSource": "crm",
            "PendingEventDetailType": "user pending",
            "UserIdPath": "detail.user_id",
            "SweepState": "DISABLED",
            "SweepSchedule": "cron(0 7 ? * MON-FRI *)",
            "SweepMinAgeHours": 72,
            "SweepMaxInvites": 3,
            "SweepMaxUsers": 0,
            "SweepRoles": "",
            "SweepOrgIds": "",
            "SweepFirstInvitation": "true",
            "AlarmEmail": "",
            "Tracing": "Disabled",
            "GradualDeployment": "false",
            "DeletionProtection": "false",
            "SubnetIds": "",
            "SecurityGroupIds": "",
            "KmsKeyArn": "",
        }

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_are_described(self, name: str) -> None:
        assert PARAMETERS[name]["Description"]

    def test_that_are_numbers_have_bounds(self) -> None:
        numbers = [each for each in PARAMETERS.values() if each["Type"] == "Number"]

        assert len(numbers) == 9
        assert all({"MinValue", "MaxValue"} <= each.keys() for each in numbers)

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_are_used(self, name: str) -> None:
        parts = {key: each for key, each in TEMPLATE.items() if key not in ("Metadata", "Rules")}

        assert name in references(parts) or f"${{{name}}}" in repr(parts)

    @pytest.mark.parametrize(
        ("name", "value", "is_allowed"),
        [
            ("SweepRoles", "", True),
            ("SweepRoles", "PUBLISHER", True),
            ("SweepRoles", "ORG_ADMIN,GROUP_MANAGER", True),
            ("SweepRoles", "A_ROLE_OF_TOMORROW", True),
            ("SweepRoles", "publisher", False),
            ("SweepRoles", "_ADMIN", False),
            ("SweepRoles", "PUBLISHER,", False),
            ("SweepRoles", "PUBLISHER, PROVIDER", False),
            ("SweepOrgIds", "", True),
            ("SweepOrgIds", "42,Org_b-7", True),
            ("SweepOrgIds", "42,", False),
            ("SweepOrgIds", "42, 43", False),
            ("SweepOrgIds", "42&page=2", False),
        ],
    )
    def test_that_are_lists_take_words_with_commas_between_them(
        self, name: str, value: str, is_allowed: bool
    ) -> None:
        pattern = PARAMETERS[name]["AllowedPattern"]

        assert bool(re.fullmatch(pattern, value)) is is_allowed

    @pytest.mark.parametrize(
        "name", ["GradualDeployment", "DeletionProtection", "SweepFirstInvitation"]
    )
    def test_that_are_switches_take_true_and_false(self, name: str) -> None:
        assert PARAMETERS[name]["AllowedValues"] == ["true", "false"]


class TestQueues:
    @pytest.mark.parametrize("name", WORK_QUEUES.values())
    def test_visibility_outlasts_six_executions(self, name: str) -> None:
        queue = RESOURCES[name]["Properties"]

        assert queue["VisibilityTimeout"] >= 6 * FUNCTION["Timeout"]

    @pytest.mark.parametrize("name", [*WORK_QUEUES.values(), "DeadLetterQueue"])
    def test_keep_a_message_as_long_as_possible(self, name: str) -> None:
        assert RESOURCES[name]["Properties"]["MessageRetentionPeriod"] == FOURTEEN_DAYS

    def test_history_outlasts_a_message_in_two_queues(self) -> None:
        assert PARAMETERS["HistoryDays"]["MinValue"] * 86_400 > 2 * FOURTEEN_DAYS

    @pytest.mark.parametrize("name", WORK_QUEUES.values())
    def test_message_received_too_often_rests_in_dead_letter_queue(self, name: str) -> None:
        queue = RESOURCES[name]["Properties"]
        policy = queue["RedrivePolicy"]

        assert policy["deadLetterTargetArn"] == DEAD_LETTER_QUEUE_ARN
        assert policy["maxReceiveCount"] * queue["VisibilityTimeout"] >= 2 * 3600

    @pytest.mark.parametrize(("event", "queue"), WORK_QUEUES.items())
    def test_are_read_in_batches_that_report_their_failures(self, event: str, queue: str) -> None:
        properties = FUNCTION["Events"][event]["Properties"]

        # What comes back from a wait is gathered; new requests are not.
        gathers = {"MaximumBatchingWindowInSeconds": 1} if event == "Retries" else {}
        assert properties == gathers | {
            "Queue": arn(queue),
            "BatchSize": BATCH_SIZE,
            "ScalingConfig": {"MaximumConcurrency": 5},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }

    def test_are_all_read(self) -> None:
        assert FUNCTION["Events"].keys() == WORK_QUEUES.keys()

    def test_deferring_is_not_taken_for_a_loop(self) -> None:
        """Lambda's detection stops sixteen rounds of a function and a queue."""
        assert FUNCTION["RecursiveLoop"] == SWEEP_FUNCTION["RecursiveLoop"] == "Allow"

    def test_are_read_by_few_executions_but_enough_for_the_quota(self) -> None:
        source = FUNCTION["Events"]["Requests"]["Properties"]
        side_by_side = source["ScalingConfig"]["MaximumConcurrency"] * BATCH_SIZE
        quota = PARAMETERS["RequestsPerMinute"]["Default"] / 60

        assert quota * 5 <= side_by_side <= quota * 10

    def test_internal_queues_admit_no_service_and_no_other_account(self) -> None:
        policy = RESOURCES["InternalQueuesPolicy"]["Properties"]
        names = ("RetryQueue", "BulkQueue", "SweepQueue", "SweepDeadLetterQueue")
        (statement,) = policy["PolicyDocument"]["Statement"]

        assert policy["Queues"] == [{"Ref": name} for name in names]
        assert statement["Effect"] == "Deny"
        assert statement["Resource"] == [arn(name) for name in names]

    def test_request_queue_admits_the_rule_and_the_accounts_topics_alone(self) -> None:
        policy = RESOURCES["PendingEventRulePolicy"]["Properties"]
        [statement, topics] = [
            each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"
        ]

        assert topics["Principal"] == {"Service": "sns.amazonaws.com"}
        assert topics["Action"] == "sqs:SendMessage"
        assert topics["Resource"] == REQUEST_QUEUE_ARN
        assert topics["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == [REQUEST_QUEUE_ARN, DEAD_LETTER_QUEUE_ARN]
        assert statement["Condition"] == {
            "ArnEquals": {"aws:SourceArn": {"GetAtt": "PendingEventRule.Arn"}}
        }
        assert policy["Queues"] == [{"Ref": "RequestQueue"}, {"Ref": "DeadLetterQueue"}]


class TestRule:
    RULE = RESOURCES["PendingEventRule"]["Properties"]

    def test_picks_the_configured_events_on_the_configured_bus(self) -> None:
        assert self.RULE["EventBusName"] == {"Ref": "EventBusName"}
        assert self.RULE["EventPattern"] == {
            "source": [{"Ref": "PendingEventSource"}],
            "detail-type": [{"Ref": "PendingEventDetailType"}],
        }

    def test_loses_no_event_that_the_queue_does_not_take(self) -> None:
        [target] = self.RULE["Targets"]

        assert target["Arn"] == REQUEST_QUEUE_ARN
        assert target["DeadLetterConfig"] == {"Arn": DEAD_LETTER_QUEUE_ARN}

    def test_hands_the_event_over_whole(self) -> None:
        [target] = self.RULE["Targets"]

        assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


class TestFunctions:
    def test_keep_failed_asynchronous_invocations(self) -> None:
        assert FUNCTION["DeadLetterQueue"] == {"Type": "SQS", "TargetArn": DEAD_LETTER_QUEUE_ARN}

    @pytest.mark.parametrize(
        ("name", "handler"),
        [
            ("ReinviteUserFunction", "reinvite_user.app.handler"),
            ("SweepInvitationsFunction", "sweep_invitations.app.handler"),
            ("CheckKeyFunction", "check_key.app.handler"),
        ],
    )
    def test_have_one_handler_each(self, name: str, handler: str) -> None:
        assert function(name)["Handler"] == handler

    def test_run_on_the_newest_python_of_the_cheaper_processor(self) -> None:
        settings = TEMPLATE["Globals"]["Function"]

        assert (settings["Runtime"], settings["Architectures"]) == ("python3.13", ["arm64"])
        for name in FUNCTIONS:
            assert not {"Runtime", "Architectures"} & RESOURCES[name]["Properties"].keys()

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_write_a_log_that_ends(self, name: str) -> None:
        logging = function(name)["LoggingConfig"]
        group = RESOURCES[logging["LogGroup"]["Ref"]]["Properties"]

        assert logging["LogFormat"] == "JSON"
        assert group["RetentionInDays"] == 30

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_write_metrics_to_the_stacks_namespace(self, name: str) -> None:
        variables = function(name)["Environment"]["Variables"]

        assert variables["POWERTOOLS_METRICS_NAMESPACE"] == {"Ref": "AWS::StackName"}


class TestSchedules:
    SWEEPS = SWEEP_FUNCTION["Events"]["Schedule"]["Properties"]
    CHECKS = function("CheckKeyFunction")["Events"]["Schedule"]["Properties"]

    def test_of_sweeps_is_switched_on_by_the_deployer(self) -> None:
        assert self.SWEEPS["State"] == {"Ref": "SweepState"}
        assert self.SWEEPS["ScheduleExpression"] == {"Ref": "SweepSchedule"}

    def test_of_checks_is_daily_and_always_on(self) -> None:
        assert re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", self.CHECKS["ScheduleExpression"])
        assert "State" not in self.CHECKS

    @pytest.mark.parametrize("schedule", [SWEEPS, CHECKS], ids=["sweeps", "checks"])
    def test_start_their_function_without_arguments(self, schedule: dict[str, Any]) -> None:
        assert json.loads(schedule["Input"]) == {}

    @pytest.mark.parametrize("schedule", [SWEEPS, CHECKS], ids=["sweeps", "checks"])
    def test_failures_are_counted_within_an_hour(self, schedule: dict[str, Any]) -> None:
        """EventBridge Scheduler counts by group, and only when it gives up."""
        assert schedule["GroupName"] == {"Ref": "ScheduleGroup"}
        assert schedule["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600}

    def test_have_a_name_for_each_stack(self) -> None:
        schedules = [
            each["Properties"]
            for each in expanded().values()
            if each["Type"] == "AWS::Scheduler::Schedule"
        ]

        assert len(schedules) == 2
        assert not [each for each in schedules if "Name" in each]

    @pytest.mark.parametrize("schedule", [SWEEPS, CHECKS], ids=["sweeps", "checks"])
    def test_may_start_these_functions_and_do_nothing_else(self, schedule: dict[str, Any]) -> None:
        role = RESOURCES["ScheduleRole"]["Properties"]
        ((statement,),) = [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]]

        assert schedule["RoleArn"] == arn("ScheduleRole")
        assert statement["Action"] == "lambda:InvokeFunction"
        assert statement["Resource"] == [arn("SweepInvitationsFunction"), arn("CheckKeyFunction")]


class TestSweeps:
    QUEUE = RESOURCES["SweepQueue"]["Properties"]
    EVENT = SWEEP_FUNCTION["Events"]["RescheduledSweeps"]["Properties"]

    def test_continue_after_an_execution_that_died(self) -> None:
        assert self.EVENT["Queue"] == arn("SweepQueue")
        assert self.EVENT["BatchSize"] == 1
        assert self.EVENT["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert self.QUEUE["VisibilityTimeout"] > SWEEP_FUNCTION["Timeout"]

    def test_that_no_execution_can_carry_out_are_kept(self) -> None:
        dead = arn("SweepDeadLetterQueue")

        assert self.QUEUE["RedrivePolicy"]["deadLetterTargetArn"] == dead
        assert SWEEP_FUNCTION["DeadLetterQueue"] == {"Type": "SQS", "TargetArn": dead}
        assert (
            RESOURCES["SweepDeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]
            == FOURTEEN_DAYS
        )


class TestPermissions:
    def test_of_the_function_that_invites_are_these_and_no_others(self) -> None:
        assert allowed("ReinviteUserFunction") == {
            "dynamodb:BatchGetItem": [TABLE_ARN],
            "dynamodb:PutItem": [TABLE_ARN],
            "secretsmanager:GetSecretValue": [CREATED_SECRET_ARN],
            "sns:Publish": [arn("ResultTopic")],
            "sqs:SendMessage": [DEAD_LETTER_QUEUE_ARN, arn("RetryQueue"), arn("BulkQueue")],
        }

    def test_of_the_function_that_sweeps_are_these_and_no_others(self) -> None:
        assert allowed("SweepInvitationsFunction") == {
            "dynamodb:BatchGetItem": [TABLE_ARN],
            "dynamodb:PutItem": [TABLE_ARN],
            "secretsmanager:GetSecretValue": [CREATED_SECRET_ARN],
            "sns:Publish": [arn("ResultTopic")],
            "sqs:SendMessage": [arn("SweepDeadLetterQueue"), arn("BulkQueue"), arn("SweepQueue")],
        }

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_follow_a_secret_that_is_given(self, name: str) -> None:
        given = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mine-AbCdEf"

        assert allowed(name, ApiKeySecretArn=given)["secretsmanager:GetSecretValue"] == [given]


class TestLayer:
    LAYER = RESOURCES["DependenciesLayer"]

    def test_fits_the_function(self) -> None:
        settings = TEMPLATE["Globals"]["Function"]

        assert self.LAYER["Properties"]["CompatibleRuntimes"] == [settings["Runtime"]]
        assert self.LAYER["Properties"]["CompatibleArchitectures"] == settings["Architectures"]
        assert self.LAYER["Metadata"]["BuildArchitecture"] in settings["Architectures"]
        assert settings["Layers"] == [{"Ref": "DependenciesLayer"}]

    def test_holds_third_party_packages_only(self) -> None:
        folder = REPOSITORY / self.LAYER["Properties"]["ContentUri"]

        assert sorted(path.name for path in folder.iterdir()) == ["Makefile", "requirements.txt"]

    def test_installs_only_what_is_pinned_by_its_hash(self) -> None:
        folder = REPOSITORY / self.LAYER["Properties"]["ContentUri"]
        requirements = (folder / "requirements.txt").read_text(encoding="utf-8")

        assert re.findall(r"(?m)^[a-z].*", requirements) == re.findall(
            r"(?m)^[a-z][a-z0-9.-]*==.* \\$", requirements
        )
        assert "--require-hashes" in (folder / "Makefile").read_text(encoding="utf-8")


class TestLedger:
    def test_keeps_all_of_a_user_together(self) -> None:
        assert TABLE["KeySchema"] == [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ]
        assert TABLE["AttributeDefinitions"] == [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ]

    def test_forgets_by_the_attribute_that_the_code_writes(self) -> None:
        assert TABLE["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}

    def test_can_be_restored(self) -> None:
        recovery = TABLE["PointInTimeRecoverySpecification"]

        assert recovery == {"PointInTimeRecoveryEnabled": True}

    def test_is_protected_from_deletion_when_that_is_wanted(self) -> None:
        def protected(**parameters: str) -> Any:
            properties = expanded(**parameters)["InvitationTable"]["Properties"]
            return properties["DeletionProtectionEnabled"]

        assert protected() is False
        assert protected(DeletionProtection="true") is True


@pytest.mark.parametrize("name", ["InvitationTable", "ApiKeySecret"])
def test_ledger_and_key_survive_the_stack_but_not_its_failed_creation(name: str) -> None:
    """A retained table of a failed first deployment would be found by nobody."""
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


class TestSecret:
    def test_is_made_only_when_none_is_given(self) -> None:
        assert RESOURCES["ApiKeySecret"]["Condition"] == "MakesSecret"
        assert TEMPLATE["Conditions"]["MakesSecret"] == {"Equals": [{"Ref": "ApiKeySecretArn"}, ""]}

    def test_has_no_value_in_the_template(self) -> None:
        assert RESOURCES["ApiKeySecret"]["Properties"].keys() == {"Description", "KmsKeyId"}

    def test_key_is_no_parameter_and_no_variable(self) -> None:
        names = [*PARAMETERS, *VARIABLES]

        assert [name for name in names if "key" in name.lower()] == [
            "ApiKeySecretArn",
            "KmsKeyArn",
            "API_KEY_SECRET_ARN",
        ]


def test_no_resource_has_a_fixed_name() -> None:
    fixed = ("QueueName", "TopicName", "TableName", "FunctionName", "RoleName", "LayerName")

    assert not [
        (name, key)
        for name, resource in RESOURCES.items()
        for key in fixed
        if key in resource.get("Properties", {})
    ]


class TestOutputs:
    def test_name_what_users_need(self) -> None:
        assert {name: output["Value"] for name, output in TEMPLATE["Outputs"].items()} == {
            "RequestQueueUrl": {"Ref": "RequestQueue"},
            "RequestQueueArn": REQUEST_QUEUE_ARN,
            "RetryQueueUrl": {"Ref": "RetryQueue"},
            "BulkQueueUrl": {"Ref": "BulkQueue"},
            "DeadLetterQueueUrl": {"Ref": "DeadLetterQueue"},
            "ResultTopicArn": {"Ref": "ResultTopic"},
            "ReinviteFunctionName": {"Sub": "${ReinviteUserFunction}:live"},
            "SweepFunctionName": {"Ref": "SweepInvitationsFunction"},
            "CheckKeyFunctionName": {"Ref": "CheckKeyFunction"},
            "AlarmTopicArn": {"GetAtt": "Monitoring.Outputs.AlarmTopicArn"},
            "TableName": {"Ref": "InvitationTable"},
            "ApiKeySecretArn": SECRET_ARN,
            "EventBusName": {"Ref": "EventBusName"},
        }

    @pytest.mark.parametrize("name", TEMPLATE["Outputs"])
    def test_are_described(self, name: str) -> None:
        assert TEMPLATE["Outputs"][name]["Description"]


class TestSamconfig:
    DEPLOYMENTS = ("dev", "sandbox", "production")

    @pytest.mark.parametrize("environment", DEPLOYMENTS)
    def test_sets_only_parameters_that_exist(self, environment: str) -> None:
        overrides = SAMCONFIG[environment]["deploy"]["parameters"]["parameter_overrides"]

        assert {override.partition("=")[0] for override in overrides} <= PARAMETERS.keys()

    @pytest.mark.parametrize(
        ("environment", "url"),
        [
            ("dev", "https://api.sandbox.partoo.co/v2"),
            ("sandbox", "https://api.sandbox.partoo.co/v2"),
            ("production", "https://api.partoo.co/v2"),
        ],
    )
    def test_points_each_environment_at_its_own_api(self, environment: str, url: str) -> None:
        overrides = SAMCONFIG[environment]["deploy"]["parameters"]["parameter_overrides"]

        assert f"PartooBaseUrl={url}" in overrides

    def test_keeps_the_environments_apart(self) -> None:
        names = {SAMCONFIG[each]["deploy"]["parameters"]["stack_name"] for each in self.DEPLOYMENTS}

        assert len(names) == len(self.DEPLOYMENTS)

    def test_asks_before_production_changes(self) -> None:
        assert SAMCONFIG["production"]["deploy"]["parameters"]["confirm_changeset"] is True

    def test_protects_productions_ledger(self) -> None:
        overrides = SAMCONFIG["production"]["deploy"]["parameters"]["parameter_overrides"]

        assert "DeletionProtection=true" in overrides
