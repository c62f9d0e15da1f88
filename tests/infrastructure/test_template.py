"""The rules that the template must keep, whatever else changes in it."""

import json
import re
import tomllib
from typing import Any

import pytest

from invitations.config import (
    FUNCTION_TIMEOUT_SECONDS,
    MAX_PARTOO_TIMEOUT_SECONDS,
    Config,
    ReinviteConfig,
    SweepConfig,
)
from invitations.errors import ConfigurationError
from invitations.gate import BATCH_SIZE, QUOTA_PERIOD_SECONDS
from invitations.sweeps import HOLD_SECONDS
from tests.infrastructure.template import (
    PARAMETERS,
    REPOSITORY,
    RESOURCES,
    TEMPLATE,
    as_list,
    function,
    resources_of_type,
    statements,
)

FOURTEEN_DAYS = 14 * 86_400
SAMCONFIG = tomllib.loads((REPOSITORY / "samconfig.toml").read_text(encoding="utf-8"))

FUNCTION = function("ReinviteUserFunction")
SWEEP_FUNCTION = function("SweepInvitationsFunction")
REQUEST_QUEUE = RESOURCES["RequestQueue"]["Properties"]
DEAD_LETTER_QUEUE = RESOURCES["DeadLetterQueue"]["Properties"]
QUEUE_EVENT = FUNCTION["Events"]["Requests"]["Properties"]
TABLE = RESOURCES["InvitationTable"]["Properties"]
VARIABLES = FUNCTION["Environment"]["Variables"]

DEAD_LETTER_QUEUE_ARN = {"GetAtt": "DeadLetterQueue.Arn"}
REQUEST_QUEUE_ARN = {"GetAtt": "RequestQueue.Arn"}
SECRET_ARN = {"If": ["MakesSecret", {"GetAtt": "ApiKeySecret.Id"}, {"Ref": "ApiKeySecretArn"}]}

SWEEP_NUMBERS = {
    "SWEEP_MIN_AGE_HOURS": "SweepMinAgeHours",
    "SWEEP_MAX_INVITES": "SweepMaxInvites",
    "SWEEP_MAX_USERS": "SweepMaxUsers",
}
NUMBERS = {
    "PARTOO_TIMEOUT_SECONDS": "PartooTimeoutSeconds",
    "INVITE_WINDOW_SECONDS": "InviteWindowSeconds",
    "REQUESTS_PER_MINUTE": "RequestsPerMinute",
    "MAX_ATTEMPTS": "MaxAttempts",
    "HISTORY_DAYS": "HistoryDays",
}
ENVIRONMENT = {
    "PARTOO_BASE_URL": PARAMETERS["PartooBaseUrl"]["Default"],
    "USER_ID_PATH": PARAMETERS["UserIdPath"]["Default"],
    "TABLE_NAME": "table",
    "REQUEST_QUEUE_URL": "queue",
    "DEAD_LETTER_QUEUE_URL": "dead",
    "RESULT_TOPIC_ARN": "topic",
    "API_KEY_SECRET_ARN": "secret",
    **{name: str(PARAMETERS[parameter]["Default"]) for name, parameter in NUMBERS.items()},
}
SWEEP_ENVIRONMENT = ENVIRONMENT | {
    "SWEEP_QUEUE_URL": "sweeps",
    "SWEEP_ROLES": PARAMETERS["SweepRoles"]["Default"],
    **{name: str(PARAMETERS[parameter]["Default"]) for name, parameter in SWEEP_NUMBERS.items()},
}


METRICS_NAMESPACE = "METRICS_NAMESPACE"


def is_valid(environment: dict[str, str]) -> bool:
    try:
        ReinviteConfig.from_environment(ENVIRONMENT | environment)
        SweepConfig.from_environment(SWEEP_ENVIRONMENT | environment)
    except ConfigurationError:
        return False
    return True


class TestParameters:
    def test_have_the_documented_names_and_defaults(self) -> None:
        assert {name: each.get("Default") for name, each in PARAMETERS.items()} == {
            "PartooBaseUrl": "https://api.partoo.co/v2",
            "ApiKeySecretArn": "",
            "PartooTimeoutSeconds": 10,
            "RequestsPerMinute": 300,
            "InviteWindowSeconds": 300,
            "MaxAttempts": 8,
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
            "AlarmEmail": "",
            "Tracing": "Disabled",
            "GradualDeployment": "false",
            "SubnetIds": "",
            "SecurityGroupIds": "",
            "KmsKeyArn": "",
        }

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_are_described(self, name: str) -> None:
        assert PARAMETERS[name]["Description"]

    def test_are_all_shown_in_a_group(self) -> None:
        groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

        assert sorted(name for group in groups for name in group["Parameters"]) == sorted(
            PARAMETERS
        )

    def test_that_are_numbers_have_bounds(self) -> None:
        numbers = {name for name, each in PARAMETERS.items() if each["Type"] == "Number"}

        assert numbers == {*NUMBERS.values(), *SWEEP_NUMBERS.values()}
        assert all({"MinValue", "MaxValue"} <= PARAMETERS[name].keys() for name in numbers)

    def test_with_their_defaults_start_the_function(self) -> None:
        assert is_valid(ENVIRONMENT)

    @pytest.mark.parametrize(("variable", "parameter"), [*NUMBERS.items(), *SWEEP_NUMBERS.items()])
    def test_that_are_numbers_have_the_bounds_of_the_code(
        self, variable: str, parameter: str
    ) -> None:
        least, most = PARAMETERS[parameter]["MinValue"], PARAMETERS[parameter]["MaxValue"]
        at_and_beyond = [least - 1, least, most, most + 1]

        assert [is_valid(ENVIRONMENT | {variable: str(each)}) for each in at_and_beyond] == [
            False,
            True,
            True,
            False,
        ]

    @pytest.mark.parametrize(
        ("url", "allowed"),
        [
            ("https://api.partoo.co/v2", True),
            ("https://api.sandbox.partoo.co/v2", True),
            ("https://proxy.example.com:8443/partoo/v2/", True),
            ("http://127.0.0.1:8080/v2", True),
            ("http://localhost:8080", True),
            ("http://[::1]:8080/v2", True),
            ("http://api.partoo.co/v2", False),
            ("http://127.0.0.1.example.com/v2", False),
            ("https://key@api.partoo.co/v2", False),
            ("https://api.partoo.co/v2?key=1", False),
            ("https://api.partoo.co/v2#top", False),
            ("https://api.partoo.co/v 2", False),
            ("https://api.partoo.co:port/v2", False),
            ("https://api.partoo.co/%76%32", False),
            ("https://", False),
            ("", False),
        ],
    )
    def test_allow_the_base_urls_that_the_code_takes(self, url: str, allowed: bool) -> None:
        pattern = PARAMETERS["PartooBaseUrl"]["AllowedPattern"]

        assert bool(re.fullmatch(pattern, url)) is allowed
        assert is_valid(ENVIRONMENT | {"PARTOO_BASE_URL": url}) is allowed

    @pytest.mark.parametrize(
        ("roles", "allowed"),
        [
            ("", True),
            ("PUBLISHER", True),
            ("ORG_ADMIN,GROUP_MANAGER", True),
            ("OWNER", False),
            ("PUBLISHER,", False),
            ("PUBLISHER, PROVIDER", False),
            ("PUBLISHERPROVIDER", False),
        ],
    )
    def test_allow_the_roles_that_the_vendor_has(self, roles: str, allowed: bool) -> None:
        pattern = PARAMETERS["SweepRoles"]["AllowedPattern"]

        assert bool(re.fullmatch(pattern, roles)) is allowed
        if allowed:
            assert is_valid({"SWEEP_ROLES": roles})


class TestQueues:
    def test_the_visibility_outlasts_six_executions(self) -> None:
        assert REQUEST_QUEUE["VisibilityTimeout"] >= 6 * FUNCTION["Timeout"]

    @pytest.mark.parametrize("queue", [REQUEST_QUEUE, DEAD_LETTER_QUEUE])
    def test_keep_a_message_as_long_as_possible(self, queue: dict[str, Any]) -> None:
        assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS

    def test_the_history_outlasts_a_message_in_both(self) -> None:
        assert PARAMETERS["HistoryDays"]["MinValue"] * 86_400 > 2 * FOURTEEN_DAYS

    def test_what_is_received_too_often_rests_in_the_dead_letter_queue(self) -> None:
        policy = REQUEST_QUEUE["RedrivePolicy"]

        assert policy["deadLetterTargetArn"] == DEAD_LETTER_QUEUE_ARN
        assert policy["maxReceiveCount"] * REQUEST_QUEUE["VisibilityTimeout"] >= 2 * 3600

    def test_a_message_that_failed_is_reported_alone(self) -> None:
        assert QUEUE_EVENT["Queue"] == REQUEST_QUEUE_ARN
        assert QUEUE_EVENT["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_a_batch_is_what_the_code_carries_out_side_by_side(self) -> None:
        assert QUEUE_EVENT["BatchSize"] == BATCH_SIZE

    def test_those_who_come_back_together_are_carried_out_together(self) -> None:
        assert QUEUE_EVENT["MaximumBatchingWindowInSeconds"] == 1

    def test_waiting_on_the_queue_is_not_taken_for_a_loop(self) -> None:
        """AWS ends what it takes for one after sixteen rounds of function and queue."""
        assert FUNCTION["RecursiveLoop"] == SWEEP_FUNCTION["RecursiveLoop"] == "Allow"

    def test_are_read_by_few_executions_but_by_enough_for_the_quota(self) -> None:
        side_by_side = QUEUE_EVENT["ScalingConfig"]["MaximumConcurrency"] * BATCH_SIZE
        quota = PARAMETERS["RequestsPerMinute"]["Default"] / QUOTA_PERIOD_SECONDS

        assert quota * 5 <= side_by_side <= quota * 10

    def test_take_messages_of_the_rule_of_the_accounts_topics_and_of_nobody_else(self) -> None:
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


class TestFunction:
    def test_lasts_as_long_as_the_code_believes(self) -> None:
        assert FUNCTION["Timeout"] == FUNCTION_TIMEOUT_SECONDS

    def test_has_time_for_the_longest_call_and_its_record(self) -> None:
        longest = PARAMETERS["PartooTimeoutSeconds"]["MaxValue"]
        environment = ENVIRONMENT | {"PARTOO_TIMEOUT_SECONDS": str(longest)}

        shared = ReinviteConfig.from_environment(environment).shared

        assert longest == MAX_PARTOO_TIMEOUT_SECONDS
        assert shared.call_budget_seconds < FUNCTION["Timeout"]

    def test_is_given_every_variable_that_the_code_reads_and_no_other(self) -> None:
        names = {*Config._fields, *ReinviteConfig._fields} - {"shared"}

        assert VARIABLES.keys() == {METRICS_NAMESPACE, *(name.upper() for name in names)}
        assert ENVIRONMENT.keys() == {name.upper() for name in names}

    def test_that_sweeps_is_given_every_variable_that_its_code_reads_and_no_other(self) -> None:
        own = {
            name if name == "sweep_queue_url" else f"sweep_{name}"
            for name in SweepConfig._fields
            if name != "shared"
        }
        names = {*Config._fields, *own}

        assert SWEEP_FUNCTION["Environment"]["Variables"].keys() == {
            METRICS_NAMESPACE,
            *(name.upper() for name in names),
        }

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("PARTOO_BASE_URL", {"Ref": "PartooBaseUrl"}),
            ("USER_ID_PATH", {"Ref": "UserIdPath"}),
            ("TABLE_NAME", {"Ref": "InvitationTable"}),
            ("REQUEST_QUEUE_URL", {"Ref": "RequestQueue"}),
            ("DEAD_LETTER_QUEUE_URL", {"Ref": "DeadLetterQueue"}),
            ("RESULT_TOPIC_ARN", {"Ref": "ResultTopic"}),
            ("API_KEY_SECRET_ARN", SECRET_ARN),
            *[(variable, {"Ref": parameter}) for variable, parameter in NUMBERS.items()],
        ],
    )
    def test_is_given_the_right_value(self, variable: str, value: dict[str, Any]) -> None:
        assert VARIABLES[variable] == value

    def test_keeps_what_an_asynchronous_invocation_could_not_do(self) -> None:
        assert FUNCTION["DeadLetterQueue"] == {"Type": "SQS", "TargetArn": DEAD_LETTER_QUEUE_ARN}

    @pytest.mark.parametrize("function", [FUNCTION, SWEEP_FUNCTION], ids=["reinvite", "sweep"])
    def test_exists_where_the_handler_says(self, function: dict[str, Any]) -> None:
        for handler in function["Handler"]["If"][1:]:
            module, _, name = handler.rpartition(".")
            source = REPOSITORY / function["CodeUri"] / (module.replace(".", "/") + ".py")

            assert re.search(rf"^(def )?{name}\b", source.read_text(encoding="utf-8"), re.MULTILINE)

    def test_runs_on_the_newest_python_of_the_cheaper_processor(self) -> None:
        settings = TEMPLATE["Globals"]["Function"]

        assert (settings["Runtime"], settings["Architectures"]) == ("python3.13", ["arm64"])
        for name in ("ReinviteUserFunction", "SweepInvitationsFunction"):
            assert not {"Runtime", "Architectures"} & RESOURCES[name]["Properties"].keys()

    def test_writes_its_log_where_it_ends_some_day(self) -> None:
        assert FUNCTION["LoggingConfig"]["LogGroup"] == {"Ref": "ReinviteUserLogGroup"}
        assert RESOURCES["ReinviteUserLogGroup"]["Properties"]["RetentionInDays"] == 30


class TestSweeps:
    SCHEDULE = RESOURCES["SweepSchedulePlan"]["Properties"]
    QUEUE = RESOURCES["SweepQueue"]["Properties"]
    EVENT = SWEEP_FUNCTION["Events"]["PutOffSweeps"]["Properties"]

    def test_are_started_by_a_schedule_that_the_deployer_turns_on(self) -> None:
        assert self.SCHEDULE["State"] == {"Ref": "SweepState"}
        assert self.SCHEDULE["ScheduleExpression"] == {"Ref": "SweepSchedule"}
        assert self.SCHEDULE["Target"]["Arn"] == {"GetAtt": "SweepInvitationsFunction.Arn"}
        assert json.loads(self.SCHEDULE["Target"]["Input"]) == {}

    def test_the_schedule_may_start_a_sweep_and_nothing_else(self) -> None:
        role = RESOURCES["SweepScheduleRole"]["Properties"]
        ((statement,),) = [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]]

        assert statement["Action"] == "lambda:InvokeFunction"
        assert statement["Resource"] == {"GetAtt": "SweepInvitationsFunction.Arn"}

    def test_go_on_after_an_execution_that_died(self) -> None:
        assert self.EVENT["Queue"] == {"GetAtt": "SweepQueue.Arn"}
        assert self.EVENT["BatchSize"] == 1
        assert self.EVENT["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert self.QUEUE["VisibilityTimeout"] > SWEEP_FUNCTION["Timeout"] > HOLD_SECONDS

    def test_that_cannot_be_carried_out_are_kept(self) -> None:
        dead = {"GetAtt": "SweepDeadLetterQueue.Arn"}

        assert self.QUEUE["RedrivePolicy"]["deadLetterTargetArn"] == dead
        assert SWEEP_FUNCTION["DeadLetterQueue"] == {"Type": "SQS", "TargetArn": dead}
        assert (
            RESOURCES["SweepDeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]
            == FOURTEEN_DAYS
        )

    def test_have_time_for_a_page(self) -> None:
        config = SweepConfig.from_environment(SWEEP_ENVIRONMENT)

        assert 2 * config.shared.call_budget_seconds < SWEEP_FUNCTION["Timeout"]

    def test_may_do_these_things_and_no_others(self) -> None:
        assert {
            action: statement["Resource"]
            for statement in statements("SweepInvitationsFunction")
            for action in as_list(statement["Action"])
        } == {
            "dynamodb:BatchGetItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:GetItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:PutItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:UpdateItem": {"GetAtt": "InvitationTable.Arn"},
            "secretsmanager:GetSecretValue": SECRET_ARN,
            "sns:Publish": {"Ref": "ResultTopic"},
            "sqs:SendMessage": [REQUEST_QUEUE_ARN, {"GetAtt": "SweepQueue.Arn"}],
        }

    def test_write_a_log_that_ends_some_day(self) -> None:
        assert SWEEP_FUNCTION["LoggingConfig"]["LogGroup"] == {"Ref": "SweepInvitationsLogGroup"}
        assert RESOURCES["SweepInvitationsLogGroup"]["Properties"]["RetentionInDays"] == 30


class TestPermissions:
    STATEMENTS = tuple(statements("ReinviteUserFunction"))

    def test_are_these_and_no_others(self) -> None:
        assert {
            action: statement["Resource"]
            for statement in self.STATEMENTS
            for action in as_list(statement["Action"])
        } == {
            "dynamodb:BatchGetItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:GetItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:PutItem": {"GetAtt": "InvitationTable.Arn"},
            "dynamodb:UpdateItem": {"GetAtt": "InvitationTable.Arn"},
            "secretsmanager:GetSecretValue": SECRET_ARN,
            "sns:Publish": {"Ref": "ResultTopic"},
            "sqs:SendMessage": [REQUEST_QUEUE_ARN, DEAD_LETTER_QUEUE_ARN],
        }


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

        assert sorted(path.name for path in folder.iterdir()) == [
            "Makefile",
            "requirements.txt",
            "trim.py",
        ]

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

    def test_survives_its_own_replacement(self) -> None:
        assert RESOURCES["InvitationTable"]["UpdateReplacePolicy"] == "Retain"


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


class TestAlarms:
    ALARMS = resources_of_type("AWS::CloudWatch::Alarm")
    METRICS = (REPOSITORY / "functions/invitations/metrics.py").read_text(encoding="utf-8")

    def test_are_these(self) -> None:
        assert self.ALARMS.keys() == {
            "BacklogOldAlarm",
            "BreakerOpenAlarm",
            "CheckErrorsAlarm",
            "DeadLettersAlarm",
            "KeyExpiringAlarm",
            "KeyRefusedAlarm",
            "MessagesReturnedAlarm",
            "ReinviteErrorsAlarm",
            "ReinviteThrottlesAlarm",
            "SecretNotReadableAlarm",
            "SweepDeadLettersAlarm",
            "SweepErrorsAlarm",
            "SweepFailedAlarm",
            "SweepOverdueAlarm",
            "SweepThrottlesAlarm",
        }

    @pytest.mark.parametrize("name", ALARMS)
    def test_call_a_person_and_say_when_it_is_over(self, name: str) -> None:
        alarm = self.ALARMS[name]

        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
        if name == "SweepOverdueAlarm":
            assert alarm["InsufficientDataActions"] == [{"Ref": "AlarmTopic"}]
            assert alarm["TreatMissingData"] == "missing"
        else:
            assert alarm["TreatMissingData"] == "notBreaching"

    @pytest.mark.parametrize("name", ALARMS)
    def test_say_what_is_the_matter_and_where_to_read_on(self, name: str) -> None:
        subject = re.sub(r"^(Reinvite|Sweep|Check)(?=Errors|Throttles)", "Function", name)
        heading = re.sub(r"(?<!^)(?=[A-Z])", "-", subject.removesuffix("Alarm")).lower()

        text = " ".join(self.ALARMS[name]["AlarmDescription"].split())
        assert text.endswith(f" Runbook: docs/runbook.md#{heading}")
        assert f"\n### {heading}\n" in (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")
        assert len(text) < 1_024

    @pytest.mark.parametrize("name", ALARMS)
    def test_look_at_metrics_that_somebody_writes(self, name: str) -> None:
        alarm = self.ALARMS[name]

        if alarm["Namespace"] == {"Ref": "AWS::StackName"}:
            assert f'"{alarm["MetricName"]}"' in self.METRICS
            assert "Dimensions" not in alarm
        else:
            assert (alarm["Namespace"], alarm["MetricName"]) in {
                ("AWS/Lambda", "Errors"),
                ("AWS/Lambda", "Throttles"),
                ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
                ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
            }
            (dimension,) = alarm["Dimensions"]
            assert dimension["Name"] in ("FunctionName", "QueueName")

    def test_metrics_of_two_stacks_are_kept_apart(self) -> None:
        for each in (FUNCTION, SWEEP_FUNCTION):
            variables = each["Environment"]["Variables"]
            assert variables[METRICS_NAMESPACE] == {"Ref": "AWS::StackName"}

    def test_go_to_an_address_when_one_is_given(self) -> None:
        subscription = RESOURCES["AlarmSubscription"]

        assert subscription["Condition"] == "HasAlarmEmail"
        assert subscription["Properties"]["TopicArn"] == {"Ref": "AlarmTopic"}
        assert subscription["Properties"]["Endpoint"] == {"Ref": "AlarmEmail"}


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
            "DeadLetterQueueUrl": {"Ref": "DeadLetterQueue"},
            "ResultTopicArn": {"Ref": "ResultTopic"},
            "ReinviteFunctionName": {"Sub": "${ReinviteUserFunction}:live"},
            "SweepFunctionName": {"Ref": "SweepInvitationsFunction"},
            "CheckKeyFunctionName": {"Ref": "CheckKeyFunction"},
            "AlarmTopicArn": {"Ref": "AlarmTopic"},
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
