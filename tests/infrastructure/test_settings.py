"""The functions' code, the template and docs/parameters.md agree on variables, bounds and times."""

import re
from typing import Any

import pytest

from invitations.dependencies import call_budget_seconds
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS
from tests.documents import text_of
from tests.infrastructure.template import (
    FUNCTIONS,
    KEY_ARN,
    PARAMETERS,
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
                "https://[2001:db8::1]:8443/partoo/v2/",
                "http://127.0.0.1:8080/v2",
                "http://localhost",
                "http://[::1]/v2",
            ],
            [
                "http://api.partoo.co/v2",
                "http://127.0.0.1.example.com/v2",
                "https:///v2",
                "https://api.partoo.co\\v2",
                "https://api.partoo.co/v2\nx",
                "https://key@api.partoo.co/v2",
                "https://api.partoo.co/v2?key=1",
                "https://api.partoo.co/v2#top",
            ],
        ),
        (
            # A pattern cannot say all that the grammar says; `make deploy` compiles the path.
            "UserIdPath",
            [
                "detail.user_id",
                """detail."user-id"[?kind=='partoo' && active].id | [0]""",
                "not_null(detail.partoo_id, *.id)",
            ],
            ["$.detail.user_id", ".user_id", "detail.", "detail/user_id", "detail.'user_id", ""],
        ),
        (
            "SweepRoles",
            ["", "PUBLISHER", "ORG_ADMIN,A_ROLE_OF_TOMORROW"],
            ["publisher", "_ADMIN", "PUBLISHER,", "PUBLISHER, PROVIDER"],
        ),
        (
            "SweepOrgIds",
            ["", "42,Org_b-7", ",".join(["42"] * 100)],
            ["42,", "42, 43", "42&page=2", ",".join(["42"] * 101)],
        ),
        ("SubnetIds", ["", "subnet-0a,subnet-4e"], ["subnet-0a, subnet-4e", "subnet-0a,", "sg-0a"]),
        ("SecurityGroupIds", ["", "sg-0a,sg-4e"], ["subnet-0a"]),
        # Permissions on an alias's ARN are permissions on nothing.
        (
            "KmsKeyArn",
            ["", KEY_ARN],
            [KEY_ARN.replace("key/", "alias/"), f"{KEY_ARN}*", "1234abcd"],
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
    defaults = {name: str(each["Default"]) for name, each in PARAMETERS.items()}
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", text_of("docs/parameters.md"), re.MULTILINE)
    listed = {tuple(re.findall(r"\w+", names)): each.replace("`", "") for names, each in rows}

    assert sorted(name for names in listed for name in names) == sorted(defaults)
    for names, text in listed.items():
        different = dict.fromkeys(in_words.get(defaults[name], defaults[name]) for name in names)
        assert text == ", ".join(different)


def test_executions_have_time_for_the_longest_call_and_its_record() -> None:
    longest = call_budget_seconds(PARAMETERS["PartooTimeoutSeconds"]["MaxValue"])

    assert function("ReinviteUserFunction")["Timeout"] > longest + MAX_TOKEN_WAIT_SECONDS
    # The check of the key also waits for its token, and a sweep reads more than a page.
    assert function("CheckKeyFunction")["Timeout"] > longest + 20
    assert function("SweepInvitationsFunction")["Timeout"] > 2 * longest
