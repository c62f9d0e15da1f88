"""The wiring: what each part is made of, from the environment to the clients."""

import pytest

from invitations.dependencies import SDK_CONFIG, build_reinviter
from invitations.errors import ConfigurationError
from invitations.reinvite import Reinviter
from tests.unit.test_config import ENVIRONMENT


@pytest.fixture
def reinviter(monkeypatch: pytest.MonkeyPatch) -> Reinviter:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return build_reinviter()


def test_environment_becomes_policy(reinviter: Reinviter) -> None:
    policy = reinviter.policy

    assert (policy.window_seconds, policy.max_attempts, policy.user_daily_limit) == (300, 10, 5)
    assert policy.user_id_path.search({"detail": {"user_id": "u1"}}) == "u1"


def test_each_queue_is_the_one_of_its_name(reinviter: Reinviter) -> None:
    exits = reinviter.exits

    assert exits.retry_queue.name == "retries"
    assert exits.bulk_queue.name == "bulk"
    assert exits.dead_letter_queue.name == "dead"


def test_ledger_of_steps_and_of_exits_is_one(reinviter: Reinviter) -> None:
    assert reinviter.exits.ledger is reinviter.ledger


def test_slow_service_leaves_time_to_defer() -> None:
    # Clients are made with these; the time between tries is below a second.
    tries = SDK_CONFIG.retries["total_max_attempts"]  # type: ignore[attr-defined]  # set at run time
    seconds = SDK_CONFIG.connect_timeout + SDK_CONFIG.read_timeout  # type: ignore[attr-defined]  # set at run time

    assert tries * seconds < 10


def test_missing_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TABLE_NAME")

    with pytest.raises(ConfigurationError, match="TABLE_NAME"):
        build_reinviter()
