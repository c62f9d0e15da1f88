"""The functions' code and the template agree on variables, bounds and times."""

import importlib
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from invitations.config import (
    FUNCTION_TIMEOUT_SECONDS,
    MAX_PARTOO_TIMEOUT_SECONDS,
    Config,
    ReinviteConfig,
)
from invitations.errors import ConfigurationError
from tests.infrastructure.template import (
    FUNCTIONS,
    PARAMETERS,
    REPOSITORY,
    TEMPLATE,
    function,
)
from tests.infrastructure.test_template import SECRET_ARN

NUMBERS = {
    "PARTOO_TIMEOUT_SECONDS": "PartooTimeoutSeconds",
    "REQUESTS_PER_MINUTE": "RequestsPerMinute",
    "HISTORY_DAYS": "HistoryDays",
    "INVITE_WINDOW_SECONDS": "InviteWindowSeconds",
    "MAX_ATTEMPTS": "MaxAttempts",
    "USER_DAILY_LIMIT": "UserDailyLimit",
    "SWEEP_MIN_AGE_HOURS": "SweepMinAgeHours",
    "SWEEP_MAX_INVITES": "SweepMaxInvites",
    "SWEEP_MAX_USERS": "SweepMaxUsers",
}
TEXTS = {
    "PARTOO_BASE_URL": "PartooBaseUrl",
    "USER_ID_PATH": "UserIdPath",
    "TRACING": "Tracing",
    "SWEEP_ROLES": "SweepRoles",
    "SWEEP_ORG_IDS": "SweepOrgIds",
    "SWEEP_FIRST_INVITATION": "SweepFirstInvitation",
}
RESOURCES_OF_VARIABLES = {
    "TABLE_NAME": "InvitationTable",
    "RESULT_TOPIC_ARN": "ResultTopic",
    "RETRY_QUEUE_URL": "RetryQueue",
    "BULK_QUEUE_URL": "BulkQueue",
    "DEAD_LETTER_QUEUE_URL": "DeadLetterQueue",
    "SWEEP_QUEUE_URL": "SweepQueue",
}
# Read by the modules of logger, metrics and tracer, not by the configuration.
OBSERVABILITY = {"POWERTOOLS_METRICS_NAMESPACE", "TRACING"}
ENVIRONMENT: dict[str, str] = {
    **{
        variable: str(PARAMETERS[parameter]["Default"])
        for variable, parameter in (NUMBERS | TEXTS).items()
    },
    **dict.fromkeys(RESOURCES_OF_VARIABLES, "resource"),
    "API_KEY_SECRET_ARN": "secret",
}


def is_valid(environment: dict[str, str]) -> bool:
    config: Any = ReinviteConfig
    if any(name.startswith("SWEEP_") for name in environment):
        config = importlib.import_module("invitations.sweeps.config").SweepConfig
    try:
        config.from_environment(ENVIRONMENT | environment)
    except ConfigurationError:
        return False
    return True


def names(config: Any) -> set[str]:
    return {each.name.upper() for each in fields(config)} - {"SHARED"}


def names_of_sweeps() -> set[str]:
    """Return the variables that the sweeps' modules name."""
    folder = REPOSITORY / "functions/invitations/sweeps"
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return set(re.findall(r'"(SWEEP_[A-Z_]+|[A-Z_]+_QUEUE_URL)"', sources))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("ReinviteUserFunction", lambda: names(Config) | names(ReinviteConfig)),
        ("SweepInvitationsFunction", lambda: names(Config) | names_of_sweeps()),
        ("CheckKeyFunction", lambda: names(Config)),
    ],
)
def test_function_gets_the_variables_that_it_reads_and_no_other(
    name: str, read: Callable[[], set[str]]
) -> None:
    assert function(name)["Environment"]["Variables"].keys() == read() | OBSERVABILITY


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variable_has_the_value_of_its_parameter_or_resource(name: str) -> None:
    variables = function(name)["Environment"]["Variables"]
    expected: dict[str, Any] = {
        variable: {"Ref": source}
        for variable, source in (NUMBERS | TEXTS | RESOURCES_OF_VARIABLES).items()
    }
    expected |= {
        "API_KEY_SECRET_ARN": SECRET_ARN,
        "POWERTOOLS_METRICS_NAMESPACE": {"Ref": "AWS::StackName"},
    }

    assert variables == {variable: expected[variable] for variable in variables}


@pytest.mark.parametrize("environment", [{}, {"SWEEP_ROLES": ""}], ids=["invite", "sweep"])
def test_defaults_start_the_functions(environment: dict[str, str]) -> None:
    assert is_valid(environment)


@pytest.mark.parametrize(("variable", "parameter"), NUMBERS.items())
def test_number_has_the_bounds_of_the_code(variable: str, parameter: str) -> None:
    least, most = PARAMETERS[parameter]["MinValue"], PARAMETERS[parameter]["MaxValue"]
    at_and_beyond = [least - 1, least, most, most + 1]

    assert [is_valid({variable: str(each)}) for each in at_and_beyond] == [False, True, True, False]


@pytest.mark.parametrize(
    ("url", "is_allowed"),
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
def test_base_url_is_allowed_where_the_code_takes_it(url: str, is_allowed: bool) -> None:
    pattern = PARAMETERS["PartooBaseUrl"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, url)) is is_allowed
    assert is_valid({"PARTOO_BASE_URL": url}) is is_allowed


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SWEEP_ROLES", "ORG_ADMIN,A_ROLE_OF_TOMORROW"),
        ("SWEEP_ORG_IDS", "42,Org_b-7"),
        ("SWEEP_FIRST_INVITATION", "false"),
    ],
)
def test_code_takes_what_the_template_allows(variable: str, value: str) -> None:
    assert is_valid({variable: value})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_handler_exists(name: str) -> None:
    settings = function(name)
    module, _, handler = settings["Handler"].rpartition(".")
    source = REPOSITORY / settings["CodeUri"] / (module.replace(".", "/") + ".py")

    assert re.search(rf"^(def )?{handler}\b", source.read_text(encoding="utf-8"), re.MULTILINE)


class TestTimes:
    LONGEST = Config.from_environment(
        ENVIRONMENT | {"PARTOO_TIMEOUT_SECONDS": str(MAX_PARTOO_TIMEOUT_SECONDS)}
    )

    def test_execution_lasts_as_long_as_the_code_believes(self) -> None:
        assert function("ReinviteUserFunction")["Timeout"] == FUNCTION_TIMEOUT_SECONDS

    def test_execution_has_time_for_the_longest_call_and_its_record(self) -> None:
        longest = PARAMETERS["PartooTimeoutSeconds"]["MaxValue"]

        assert longest == MAX_PARTOO_TIMEOUT_SECONDS
        assert self.LONGEST.call_budget_seconds < function("ReinviteUserFunction")["Timeout"]

    def test_check_has_time_for_the_longest_call_and_to_wait_for_its_token(self) -> None:
        assert function("CheckKeyFunction")["Timeout"] - self.LONGEST.call_budget_seconds > 20

    def test_sweep_has_time_for_a_page(self) -> None:
        timeout = function("SweepInvitationsFunction")["Timeout"]

        assert 2 * self.LONGEST.call_budget_seconds < timeout


def test_every_written_metric_is_in_the_tests_list() -> None:
    """tests/infrastructure/test_monitoring.py checks alarms and dashboard against that list."""
    from tests.infrastructure.test_monitoring import METRICS  # noqa: PLC0415

    sources = [
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "functions").rglob("*.py")
    ]
    written = {
        name
        for source in sources
        for call in re.findall(r"\b(?:count|count_by|add_metric|single_metric)\(([^)]*)", source)
        for name in re.findall(r'"([A-Z][A-Za-z]+)"', call)
    }

    assert written == METRICS.keys()


def test_limiters_item_is_the_one_that_the_check_may_touch() -> None:
    policies = TEMPLATE["Resources"]["CheckKeyFunction"]["Properties"]["Policies"]
    (key,) = re.findall(r"'dynamodb:LeadingKeys': \['(\w+)'\]", repr(policies))
    limiter = (REPOSITORY / "functions/invitations/rate_limiter.py").read_text(encoding="utf-8")

    assert f'"{key}"' in limiter
