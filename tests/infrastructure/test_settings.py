"""The functions' code, the template and docs/parameters.md agree on variables, bounds and times."""

import re
from typing import Any

import pytest

from invitations.config import Config
from invitations.limiter_state import WAIT_SECONDS
from tests.infrastructure.template import (
    FUNCTIONS,
    KEY_ARN,
    PARAMETERS,
    REPOSITORY,
    TEMPLATE,
    function,
)

# PARTOO_BASE_URL has the value of PartooBaseUrl.
PARAMETER_OF = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper(): name for name in PARAMETERS}
# Other variables, and what they have the value of.
OTHERS: dict[str, Any] = {
    "API_KEY_SECRET_ARN": {
        "Fn::If": [
            "MakesSecret",
            {"Fn::GetAtt": ["ApiKeySecret", "Id"]},
            {"Ref": "ApiKeySecretArn"},
        ]
    },
    "TABLE_NAME": {"Ref": "InvitationTable"},
    "RESULT_TOPIC_ARN": {"Ref": "ResultTopic"},
    "RETRY_QUEUE_URL": {"Ref": "RetryQueue"},
    "BULK_QUEUE_URL": {"Ref": "BulkQueue"},
    "DEAD_LETTER_QUEUE_URL": {"Ref": "DeadLetterQueue"},
    "SWEEP_QUEUE_URL": {"Ref": "SweepQueue"},
    "POWERTOOLS_METRICS_NAMESPACE": {"Ref": "AWS::StackName"},
}
ENVIRONMENT: dict[str, str] = {
    **{variable: str(PARAMETERS[name]["Default"]) for variable, name in PARAMETER_OF.items()},
    **dict.fromkeys(OTHERS, "resource"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variable_has_the_value_of_its_parameter_or_resource(name: str) -> None:
    variables = function(name)["Environment"]["Variables"]
    expected = {variable: {"Ref": name} for variable, name in PARAMETER_OF.items()} | OTHERS

    assert variables == {variable: expected[variable] for variable in variables}


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        (
            "PartooBaseUrl",
            [
                "https://api.partoo.co/v2",
                "https://proxy.example.com:8443/partoo/v2/",
                "https://[2001:db8::1]:8443/v2",
                "http://127.0.0.1:8080/v2",
                "http://localhost:8080",
                "http://[::1]:8080/v2",
            ],
            [
                "http://api.partoo.co/v2",
                "http://127.0.0.1.example.com/v2",
                "http://127.0.0.2/v2",
                "ftp://api.partoo.co/v2",
                "https:///v2",
                "https://api.partoo.co\\v2",
                "https://api.partoo.co/v2\nx",
                "https://key@api.partoo.co/v2",
                "https://api.partoo.co/v2?key=1",
                "https://api.partoo.co/v2#top",
                "https://api.partoo.co/v 2",
                "",
            ],
        ),
        (
            # A pattern cannot say all that the grammar says; `make deploy` compiles the path.
            "UserIdPath",
            [
                "detail.user_id",
                'detail."user-id"',
                "detail.users[?kind=='partoo' && active].id | [0]",
                "not_null(detail.partoo_id, detail.user.id)",
                "*.id | [0]",
            ],
            [
                "$.detail.user_id",
                ".user_id",
                "detail.",
                "detail/user_id",
                "detail.'user_id",
                "",
                " ",
            ],
        ),
        (
            "SweepRoles",
            ["", "PUBLISHER", "ORG_ADMIN,GROUP_MANAGER", "A_ROLE_OF_TOMORROW"],
            ["publisher", "_ADMIN", "PUBLISHER,", "PUBLISHER, PROVIDER"],
        ),
        (
            "SweepOrgIds",
            ["", "42,Org_b-7", ",".join(["42"] * 100)],
            ["42,", "42, 43", "42&page=2", ",".join(["42"] * 101)],
        ),
        (
            "SubnetIds",
            ["", "subnet-0a1b2c3d,subnet-4e5f6071"],
            ["subnet-0a1b2c3d, subnet-4e5f6071", "subnet-0a1b2c3d,", "sg-0a1b2c3d"],
        ),
        ("SecurityGroupIds", ["", "sg-0a1b2c3d,sg-4e5f6071"], ["subnet-0a1b2c3d"]),
        (
            "KmsKeyArn",
            [
                "",
                KEY_ARN,
                "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef",
            ],
            [
                # Permissions on an alias's ARN are permissions on nothing.
                "arn:aws:kms:eu-west-1:123456789012:alias/mine",
                "1234abcd-12ab-34cd-56ef-1234567890ab",
                "arn:aws:kms:eu-west-1:123456789012:key/*",
            ],
        ),
    ],
)
def test_parameter_takes_these_values_and_refuses_those(
    name: str, allowed: list[str], refused: list[str]
) -> None:
    pattern = PARAMETERS[name]["AllowedPattern"]

    assert [each for each in (*allowed, *refused) if re.fullmatch(pattern, each)] == allowed


def test_parameters_and_outputs_are_described_and_numbers_have_bounds() -> None:
    numbers = [each for each in PARAMETERS.values() if each["Type"] == "Number"]
    switches = [each for each in PARAMETERS.values() if each["Default"] in ("true", "false")]

    assert all(
        each["Description"] for each in [*PARAMETERS.values(), *TEMPLATE["Outputs"].values()]
    )
    assert all({"MinValue", "MaxValue"} <= each.keys() for each in numbers)
    assert all(each["AllowedValues"] == ["true", "false"] for each in switches)


def test_page_lists_every_parameter_with_its_default() -> None:
    in_words = {"": "empty", "https://api.partoo.co/v2": "production"}
    page = (REPOSITORY / "docs/parameters.md").read_text(encoding="utf-8")
    listed = {
        name: default
        for names, defaults in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", page, re.MULTILINE)
        for name, default in zip(
            names.replace("`", "").split(", "),
            defaults.replace("`", "").split(", ") * len(names.split(", ")),
            strict=False,
        )
    }

    assert listed == {
        name: in_words.get(str(each["Default"]), str(each["Default"]))
        for name, each in PARAMETERS.items()
    }


def test_executions_have_time_for_the_longest_call_and_its_record() -> None:
    timeout = str(PARAMETERS["PartooTimeoutSeconds"]["MaxValue"])
    config = Config.from_environment(ENVIRONMENT | {"PARTOO_TIMEOUT_SECONDS": timeout})
    longest = config.call_budget_seconds

    assert function("ReinviteUserFunction")["Timeout"] > longest + WAIT_SECONDS
    # The check of the key also waits for its token, and a sweep reads more than a page.
    assert function("CheckKeyFunction")["Timeout"] > longest + 20
    assert function("SweepInvitationsFunction")["Timeout"] > 2 * longest
