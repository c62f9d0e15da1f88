"""What the environment must hold: each value is valid, or the function does not start."""

import pytest
from jmespath.parser import ParsedResult

from invitations.config import (
    Reader,
    ReinviteConfig,
)
from invitations.errors import ConfigurationError

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
    assert (shared.partoo_timeout_seconds, config.policy.window_seconds) == (10, 300)
    assert (shared.requests_per_minute, config.policy.user_daily_limit) == (300, 5)
    assert (config.policy.max_attempts, shared.history_days) == (10, 90)
    assert isinstance(config.policy.user_id_path, ParsedResult)
    assert (shared.table_name, shared.result_topic_arn[-7:]) == ("table", "results")
    assert config.retry_queue_url.endswith("/retries")
    assert config.bulk_queue_url.endswith("/bulk")
    assert config.dead_letter_queue_url.endswith("/dead")
    assert shared.api_key_secret_arn[-3:] == "key"


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_blank_value_stops_the_start_with_its_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is missing$"):
        config_with(name, "  ")


def test_empty_environment_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL is missing$"):
        ReinviteConfig.from_environment({})


# The numbers' bounds and the forms of the base URL: tests/infrastructure/test_settings.py.
@pytest.mark.parametrize("text", ["9.0", "1e1", "-5", "+9", "0x9", "nine"])
def test_text_that_is_no_whole_number_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MAX_ATTEMPTS must be a whole number"):
        config_with("MAX_ATTEMPTS", text)


@pytest.mark.parametrize("url", ["http://api.partoo.co/v2", "ftp://127.0.0.2", "api.partoo.co"])
def test_base_url_without_tls_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^PARTOO_BASE_URL must begin with https://"):
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


def test_call_is_begun_with_time_for_its_answer_and_its_record() -> None:
    assert config_with("PARTOO_TIMEOUT_SECONDS", "7").shared.call_budget_seconds >= 7 + 10


@pytest.mark.parametrize(("text", "words"), [("", ()), ("a", ("a",)), ("a,B_2", ("a", "B_2"))])
def test_words_are_separated_by_commas(text: str, words: tuple[str, ...]) -> None:
    assert Reader({"NAME": text}).words("NAME") == words


def test_flag_is_true_or_false() -> None:
    assert Reader({"NAME": "true"}).flag("NAME")
    assert not Reader({"NAME": "false"}).flag("NAME")
    with pytest.raises(ConfigurationError, match=r"^NAME must be true or false"):
        Reader({"NAME": "True"}).flag("NAME")
