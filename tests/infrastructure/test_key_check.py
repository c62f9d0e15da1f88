"""What the template makes for the check of the key."""

import json
import re

from invitations.config import MAX_PARTOO_TIMEOUT_SECONDS, Config
from invitations.expiry import WARNING_DAYS
from tests.infrastructure.template import (
    REPOSITORY,
    RESOURCES,
    TEMPLATE,
    as_list,
    function,
    statements,
)
from tests.infrastructure.test_template import ENVIRONMENT, METRICS_NAMESPACE, SECRET_ARN

FUNCTION = function("CheckKeyFunction")
SCHEDULE = RESOURCES["CheckKeySchedulePlan"]["Properties"]
ALARM = RESOURCES["KeyExpiringAlarm"]["Properties"]
STATEMENTS = statements("CheckKeyFunction")


def test_it_is_made_once_a_day() -> None:
    assert re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", SCHEDULE["ScheduleExpression"])
    assert SCHEDULE["Target"]["Arn"] == {"GetAtt": "CheckKeyFunction.Arn"}
    assert json.loads(SCHEDULE["Target"]["Input"]) == {}


def test_the_schedule_is_always_on() -> None:
    assert "State" not in SCHEDULE


def test_the_schedule_may_start_it_and_nothing_else() -> None:
    role = RESOURCES["CheckKeyScheduleRole"]["Properties"]
    ((statement,),) = [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]]

    assert SCHEDULE["Target"]["RoleArn"] == {"GetAtt": "CheckKeyScheduleRole.Arn"}
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"] == {"GetAtt": "CheckKeyFunction.Arn"}


def test_it_may_do_these_things_and_no_others() -> None:
    assert {
        action: statement["Resource"]
        for statement in STATEMENTS
        for action in as_list(statement["Action"])
    } == {
        "dynamodb:GetItem": {"GetAtt": "InvitationTable.Arn"},
        "dynamodb:UpdateItem": {"GetAtt": "InvitationTable.Arn"},
        "secretsmanager:GetSecretValue": SECRET_ARN,
    }
    assert {statement["Effect"] for statement in STATEMENTS} == {"Allow"}


def test_of_the_ledger_it_may_touch_the_limiters_item_alone() -> None:
    (statement,) = [each for each in STATEMENTS if "dynamodb" in str(each)]
    limiter = (REPOSITORY / "functions/invitations/adapters/limiter.py").read_text(encoding="utf-8")

    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["LIMITER"]}
    }
    assert '"pk": {"S": "LIMITER"}' in limiter


def test_it_is_given_what_every_function_reads_and_no_more() -> None:
    names = {METRICS_NAMESPACE, *(name.upper() for name in Config._fields)}

    assert FUNCTION["Environment"]["Variables"].keys() == names
    assert FUNCTION["Environment"]["Variables"]["API_KEY_SECRET_ARN"] == SECRET_ARN


def test_it_has_time_for_the_longest_call_and_to_wait_for_it() -> None:
    environment = ENVIRONMENT | {"PARTOO_TIMEOUT_SECONDS": str(MAX_PARTOO_TIMEOUT_SECONDS)}

    assert FUNCTION["Timeout"] - Config.from_environment(environment).call_budget_seconds > 20


def test_it_exists_where_the_handler_says() -> None:
    for handler in FUNCTION["Handler"]["If"][1:]:
        module, _, name = handler.rpartition(".")
        source = REPOSITORY / FUNCTION["CodeUri"] / (module.replace(".", "/") + ".py")

        assert re.search(rf"^(def )?{name}\b", source.read_text(encoding="utf-8"), re.MULTILINE)


def test_it_runs_as_the_others_do() -> None:
    assert not {"Runtime", "Architectures"} & RESOURCES["CheckKeyFunction"]["Properties"].keys()


def test_it_writes_a_log_that_ends_some_day() -> None:
    assert FUNCTION["LoggingConfig"]["LogGroup"] == {"Ref": "CheckKeyLogGroup"}
    assert RESOURCES["CheckKeyLogGroup"]["Properties"]["RetentionInDays"] == 30


def test_the_alarm_looks_at_one_days_check() -> None:
    assert ALARM["MetricName"] == "KeyExpiresSoon"
    assert ALARM["Period"] * ALARM["EvaluationPeriods"] == 86_400
    assert f" {WARNING_DAYS} days" in " ".join(ALARM["AlarmDescription"].split())


def test_the_alarm_for_errors_looks_at_this_function() -> None:
    alarm = RESOURCES["CheckErrorsAlarm"]["Properties"]

    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "CheckKeyFunction"}}]


def test_no_parameter_is_for_it_alone() -> None:
    assert [name for name in TEMPLATE["Parameters"] if name.startswith(("Check", "Key"))] == []
