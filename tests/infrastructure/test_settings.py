"""The functions' code and the template agree on variables, bounds and times."""

import re
from typing import Any

import pytest

from invitations.config import (
    Config,
    ReinviteConfig,
)
from invitations.errors import ConfigurationError
from invitations.limiter_state import WAIT_SECONDS
from invitations.sweeps.config import SweepConfig
from tests.infrastructure.template import (
    FUNCTIONS,
    PARAMETERS,
    REPOSITORY,
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
    is_of_sweeps = any(name.startswith("SWEEP_") for name in environment)
    config: Any = SweepConfig if is_of_sweeps else ReinviteConfig
    try:
        config.from_environment(ENVIRONMENT | environment)
    except ConfigurationError:
        return False
    return True


class RecordingEnvironment(dict[str, str]):
    """An environment that remembers which variables were read."""

    def __init__(self) -> None:
        super().__init__(ENVIRONMENT)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ReinviteUserFunction", ReinviteConfig),
        ("SweepInvitationsFunction", SweepConfig),
        ("CheckKeyFunction", Config),
    ],
)
def test_function_gets_the_variables_that_it_reads_and_no_other(name: str, config: Any) -> None:
    environment = RecordingEnvironment()
    config.from_environment(environment)

    variables = function(name)["Environment"]["Variables"].keys()
    assert variables == environment.read | OBSERVABILITY


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
        ("https://api.partoo.co", True),
        ("https://[2001:db8::1]:8443/v2", True),
        ("http://127.0.0.1.example.com/v2", False),
        ("http://localhost.example.com/v2", False),
        ("http://127.0.0.2/v2", False),
        ("ftp://api.partoo.co/v2", False),
        ("//api.partoo.co/v2", False),
        ("https:///v2", False),
        ("https://api.partoo.co\\v2", False),
        ("https://api.partoo.co/v2\nx", False),
        ("https://[::1/v2", False),
        ("https://:443/v2", False),
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
def test_base_url_is_https_or_on_this_machine(url: str, is_allowed: bool) -> None:
    pattern = PARAMETERS["PartooBaseUrl"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, url)) is is_allowed


@pytest.mark.parametrize(
    ("path", "is_allowed", "compiles"),
    [
        ("detail.user_id", True, True),
        ('detail."user-id"', True, True),
        ("detail.users[?kind=='partoo' && active].id | [0]", True, True),
        ("detail.[user, other][?@ != `null`] | [-1]", True, True),
        ("not_null(detail.partoo_id, detail.user.id)", True, True),
        ("to_string(detail.user.number)", True, True),
        ("*.id | [0]", True, True),
        ("$.detail.user_id", False, False),
        (".user_id", False, False),
        ("detail.", False, False),
        ("detail/user_id", False, False),
        ("{{detail.user_id}}", True, False),
        ("detail user_id", True, False),
        ("detail.'user_id", False, False),
        ("", False, False),
        (" ", False, False),
    ],
)
def test_user_id_path_that_compiles_is_allowed(path: str, is_allowed: bool, compiles: bool) -> None:
    """A pattern cannot say all that the grammar says; `make deploy` compiles the path."""
    pattern = PARAMETERS["UserIdPath"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, path)) is is_allowed
    assert is_valid({"USER_ID_PATH": path}) is compiles


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


def test_executions_have_time_for_the_longest_call_and_its_record() -> None:
    longest = Config.from_environment(
        ENVIRONMENT
        | {"PARTOO_TIMEOUT_SECONDS": str(PARAMETERS["PartooTimeoutSeconds"]["MaxValue"])}
    ).call_budget_seconds

    assert function("ReinviteUserFunction")["Timeout"] > longest + WAIT_SECONDS
    # The check of the key also waits for its token, and a sweep reads more than a page.
    assert function("CheckKeyFunction")["Timeout"] > longest + 20
    assert function("SweepInvitationsFunction")["Timeout"] > 2 * longest


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
