"""The entrypoint of the key check: how long it may take, and what it answers."""

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from invitations.key_check import Expiry
from tests.unit.test_sweep_app import ENVIRONMENT, NOW, Context


class RecordingCheck:
    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def check(self, deadline: float) -> Expiry:
        self.deadlines.append(deadline)
        return Expiry(1, "2027-01-20", 5)


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield importlib.import_module("check_key.app")


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize("event", [{}, None, {"source": "aws.scheduler"}])
def test_invocation_is_answered_with_what_is_known(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, event: object
) -> None:
    check = RecordingCheck()
    monkeypatch.setattr(app, "key_check", check)
    monkeypatch.setattr(app.time, "time", lambda: NOW)

    assert app.handler(event, Context()) == {
        "keys": 1,
        "expires_on": "2027-01-20",
        "days_left": 5,
        "reason": None,
        "http_status": None,
    }
    assert check.deadlines == [NOW + 42]
