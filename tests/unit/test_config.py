"""What the environment must hold: each value is valid, or the function does not start."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from jmespath.parser import ParsedResult

from invitations.config import (
    FUNCTION_TIMEOUT_SECONDS,
    MAX_PARTOO_TIMEOUT_SECONDS,
    Reader,
    ReinviteConfig,
)
from invitations.errors import ConfigurationError
from invitations.limiter_state import WAIT_SECONDS

CASES = Path(__file__).parents[1] / "cases"
ENVIRONMENT = {
    "PARTOO_BASE_URL": "https://api.partoo.co/v2",
    "PARTOO_TIMEOUT_SECONDS": "10",
    "INVITE_WINDOW_SECONDS": "300",
    "REQUESTS_PER_MINUTE": "300",
    "MAX_ATTEMPTS": "10",
    "USER_DAILY_LIMIT": "5",
    "HISTORY_DAYS": "90",
    "USER_ID_PATH": "detail.user_id",
    "TABLE_NAME": "table",
    "RETRY_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/retries",
    "BULK_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/bulk",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/dead",
    "RESULT_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:results",
    "API_KEY_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:key",
}


def config_with(name: str, value: str) -> ReinviteConfig:
    return ReinviteConfig.from_environment({**ENVIRONMENT, name: value})


def test_complete_environment_is_read() -> None:
    config = ReinviteConfig.from_environment(ENVIRONMENT)

    shared = config.shared
    assert shared.partoo_base_url == "https://api.partoo.co/v2"
    assert (shared.partoo_timeout_seconds, config.invite_window_seconds) == (10, 300)
    assert (shared.requests_per_minute, config.user_daily_limit) == (300, 5)
    assert (config.max_attempts, shared.history_days) == (10, 90)
    assert isinstance(config.user_id_path, ParsedResult)
    assert (shared.table_name, shared.result_topic_arn[-7:]) == ("table", "results")
    assert config.retry_queue_url.endswith("/retries")
    assert config.bulk_queue_url.endswith("/bulk")
    assert config.dead_letter_queue_url.endswith("/dead")
    assert shared.api_key_secret_arn[-3:] == "key"


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("blank", ["", "  "])
def test_missing_value_stops_the_start_with_its_name(name: str, blank: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is missing$"):
        config_with(name, blank)


def test_empty_environment_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL is missing$"):
        ReinviteConfig.from_environment({})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PARTOO_TIMEOUT_SECONDS", "1", 1),
        ("PARTOO_TIMEOUT_SECONDS", " 20 ", 20),
        ("INVITE_WINDOW_SECONDS", "1", 1),
        ("INVITE_WINDOW_SECONDS", "86400", 86_400),
        ("REQUESTS_PER_MINUTE", "1", 1),
        ("REQUESTS_PER_MINUTE", "10000", 10_000),
        ("MAX_ATTEMPTS", "1", 1),
        ("MAX_ATTEMPTS", "100", 100),
        ("USER_DAILY_LIMIT", "0", 0),
        ("USER_DAILY_LIMIT", "100", 100),
        ("HISTORY_DAYS", "30", 30),
        ("HISTORY_DAYS", "3650", 3650),
    ],
)
def test_number_at_its_bounds_is_read(name: str, text: str, value: int) -> None:
    config = config_with(name, text)

    assert (vars(config) | asdict(config.shared))[name.lower()] == value


@pytest.mark.parametrize(
    ("name", "text", "bounds"),
    [
        ("PARTOO_TIMEOUT_SECONDS", "0", "from 1 to 20"),
        ("PARTOO_TIMEOUT_SECONDS", "21", "from 1 to 20"),
        ("INVITE_WINDOW_SECONDS", "0", "from 1 to 86400"),
        ("INVITE_WINDOW_SECONDS", "86401", "from 1 to 86400"),
        ("REQUESTS_PER_MINUTE", "0", "from 1 to 10000"),
        ("REQUESTS_PER_MINUTE", "10001", "from 1 to 10000"),
        ("MAX_ATTEMPTS", "0", "from 1 to 100"),
        ("MAX_ATTEMPTS", "101", "from 1 to 100"),
        ("USER_DAILY_LIMIT", "101", "from 0 to 100"),
        ("HISTORY_DAYS", "29", "from 30 to 3650"),
        ("HISTORY_DAYS", "3651", "from 30 to 3650"),
    ],
)
def test_number_outside_its_bounds_stops_the_start(name: str, text: str, bounds: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be a whole number {bounds},"):
        config_with(name, text)


@pytest.mark.parametrize("text", ["9.0", "1e1", "-5", "+9", "0x9", "nine", "٣", "1" * 5000])
def test_text_that_is_no_whole_number_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MAX_ATTEMPTS must be a whole number"):
        config_with("MAX_ATTEMPTS", text)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.partoo.co/v2",
        "https://api.sandbox.partoo.co/v2/",
        "https://api.partoo.co",
        "https://proxy.example.com:8443/a-path/v2",
        "https://[2001:db8::1]:8443/v2",
        "http://127.0.0.1:8080/v2",
        "http://localhost/v2",
        "http://[::1]:8080/v2",
    ],
)
def test_base_url_is_https_or_on_this_machine(url: str) -> None:
    assert config_with("PARTOO_BASE_URL", url).shared.partoo_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.partoo.co/v2",
        "http://127.0.0.1.example.com/v2",
        "http://localhost.example.com/v2",
        "http://127.0.0.2/v2",
        "ftp://api.partoo.co/v2",
        "api.partoo.co/v2",
        "//api.partoo.co/v2",
        "https://",
        "https:///v2",
        "https://api.partoo.co/v2?key=value",
        "https://api.partoo.co/v2#top",
        "https://api.partoo.co/v2?",
        "https://api.partoo.co/v 2",
        "https://api.partoo.co\\v2",
        "https://api.partoo.co/v2\nx",
    ],
)
def test_other_base_url_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL must "):
        config_with("PARTOO_BASE_URL", url)


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1/v2",
        "https://[api]/v2",
        "https://api.partoo.co:99999/v2",
        "https://api.partoo.co:port/v2",
        "https://:443/v2",
    ],
)
def test_base_url_with_an_impossible_host_or_port_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL must "):
        config_with("PARTOO_BASE_URL", url)


@pytest.mark.parametrize("url", ["https://me:hush@api.partoo.co/v2", "http://hush@127.0.0.1/v2"])
def test_base_url_with_credentials_stops_the_start_and_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL must ") as caught:
        config_with("PARTOO_BASE_URL", url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("path", ["detail.", "[", "detail..id", "!!", "$.detail.user_id"])
def test_user_id_path_that_is_no_jmespath_stops_the_start(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^USER_ID_PATH is no JMESPath expression"):
        config_with("USER_ID_PATH", path)


def test_case_of_a_user_id_path_with_a_dollar_stops_the_start() -> None:
    case = json.loads((CASES / "87a-user-id-path-with-dollar.json").read_text(encoding="utf-8"))

    with pytest.raises(ConfigurationError, match=r"^USER_ID_PATH is no JMESPath expression"):
        config_with("USER_ID_PATH", case["UserIdPath"])


def test_call_is_begun_only_with_time_left_for_its_answer_and_its_result() -> None:
    assert config_with("PARTOO_TIMEOUT_SECONDS", "7").shared.call_budget_seconds >= 7 + 10


def test_longest_call_fits_into_an_execution() -> None:
    config = config_with("PARTOO_TIMEOUT_SECONDS", str(MAX_PARTOO_TIMEOUT_SECONDS))

    assert config.shared.call_budget_seconds + WAIT_SECONDS < FUNCTION_TIMEOUT_SECONDS


@pytest.mark.parametrize(("text", "words"), [("", ()), ("a", ("a",)), ("a,B_2", ("a", "B_2"))])
def test_words_are_separated_by_commas(text: str, words: tuple[str, ...]) -> None:
    assert Reader({"NAME": text}).words("NAME", r"\w+") == words


def test_word_of_another_form_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^NAME must have words of the form"):
        Reader({"NAME": "a,b c"}).words("NAME", r"\w+")


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("false", False)])
def test_flag_is_true_or_false(text: str, flag: bool) -> None:
    assert Reader({"NAME": text}).flag("NAME") is flag


@pytest.mark.parametrize("text", ["True", "yes", "1"])
def test_other_flag_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^NAME must be true or false"):
        Reader({"NAME": text}).flag("NAME")
