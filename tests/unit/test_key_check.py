"""The check of the key: what is asked and when, and what is written; it is 2027-01-15."""

import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest

from invitations.caller import Caller
from invitations.expiry import Expiry
from invitations.gate import Gate, Pace
from invitations.key_check import KeyCheck
from invitations.models import Answered, CallOutcome
from invitations.observability import JsonFormatter, logger
from local.partoo.state import ANY_KEY_LIST, Answer, ApiKey, PartooState, Request
from tests.documents import REPOSITORY
from tests.fakes import (
    CALL_BUDGET_SECONDS,
    EXECUTION_SECONDS,
    START,
    Clock,
    FakeKeys,
    InMemoryGateKeeper,
)
from tests.metrics import points
from tests.sweep_world import never_sent, unanswered
from tests.unit.test_sweep_app import SWEEP_ENVIRONMENT

KEY = "key-1"


class World:
    """The check over small in-memory ports and the stand-in's rules."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.partoo = PartooState(
            api_key=KEY, window_seconds=300, requests_per_minute=10**6, clock=self.clock
        )
        self.gate = InMemoryGateKeeper()
        self.keys = FakeKeys(self.clock, KEY)
        self.outcome: CallOutcome | None = None
        """Of the next calls, in place of the stand-in's answer."""
        self.called_at: list[float] = []

    def check(self) -> Expiry:
        caller = Caller(
            self.gate,
            self.keys,
            self.clock,
            self.clock.advance,
            Pace.within(300),
            CALL_BUDGET_SECONDS,
        )
        return KeyCheck(caller, self, self.clock).check(self.clock() + EXECUTION_SECONDS)

    def list_keys(self, api_key: str) -> CallOutcome:
        self.called_at.append(self.clock())
        if self.outcome is not None:
            return self.outcome
        request = Request("GET", "/v2/api_keys?status=active", (("x-APIKey", api_key),))
        _, answer = self.partoo.receive(request)
        body = answer.content().decode()
        if answer.status == 200:
            return Answered(200, self.clock(), body=body)
        return Answered(answer.status, self.clock(), answer.headers.get("Retry-After"), body)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger.name)
    return caplog


def written(log: pytest.LogCaptureFixture) -> Mapping[str, float]:
    lines = map(JsonFormatter().format, log.records)
    return {point.name: point.value for point in points(lines) if point.name.startswith("Key")}


def line(log: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The one that the check ends with."""
    (record,) = [vars(each) for each in log.records if each.msg == "key checked"]
    return record


class TestWarning:
    def test_comes_before_the_key_expires(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.partoo.add_key(ApiKey(KEY, "2027-01-20"))

        assert world.check() == Expiry(1, "2027-01-20", 5)
        assert written(log) == {"KeyDaysLeft": 5, "KeyExpiresSoon": 1, "KeyExpiryUnknown": 0}
        assert line(log)["levelname"] == "WARNING"

    def test_does_not_come_early(self, world: World, log: pytest.LogCaptureFixture) -> None:
        world.partoo.add_key(ApiKey(KEY, "2027-02-01"))

        assert world.check().days_left == 17
        assert written(log) == {"KeyDaysLeft": 17, "KeyExpiresSoon": 0, "KeyExpiryUnknown": 0}
        assert line(log)["levelname"] == "INFO"

    def test_does_not_come_for_a_key_that_never_expires(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        assert world.check() == Expiry(1)
        assert written(log) == {"KeyExpiresSoon": 0, "KeyExpiryUnknown": 0}

    def test_ends_when_the_key_was_replaced_and_the_old_one_revoked(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.partoo.add_key(ApiKey(KEY, "2027-01-20", revoked=True))
        world.partoo.add_key(ApiKey("key-2", "2027-12-31"))
        world.keys.secret = "key-2"

        assert world.check().expires_on == "2027-12-31"
        assert written(log)["KeyExpiresSoon"] == 0


class TestUnknown:
    def test_is_said_of_a_key_that_may_not_list_itself(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.partoo.add_key(ApiKey(KEY, "2027-01-20", may_list=False))

        assert world.check() == Expiry(reason="key_list_refused", http_status=403)
        assert written(log) == {"KeyExpiryUnknown": 1}
        assert line(log)["levelname"] == "WARNING"

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (204, "key_list_unreadable"),
            (302, "redirected"),
            (400, "key_list_refused"),
            (404, "key_list_refused"),
            (429, "throttled"),
            (500, "server_error"),
        ],
    )
    def test_is_said_with_the_answer(self, world: World, status: int, reason: str) -> None:
        world.partoo.script(ANY_KEY_LIST, [Answer(status=status)])

        assert world.check() == Expiry(reason=reason, http_status=status)

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [(never_sent(), "connection_failed"), (unanswered(), "no_answer")],
    )
    def test_is_said_without_an_answer(
        self, world: World, outcome: CallOutcome, reason: str
    ) -> None:
        world.outcome = outcome

        assert world.check() == Expiry(reason=reason)

    def test_is_said_when_the_secret_cannot_be_read(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.keys.fail("read")

        assert world.check() == Expiry(reason="key_unavailable")
        assert world.called_at == []
        lines = map(JsonFormatter().format, log.records)
        assert "SecretFailures" in {point.name for point in points(lines)}

    def test_is_said_when_the_table_does_not_answer(self, world: World) -> None:
        world.gate.fail("change")

        assert world.check() == Expiry(reason="ledger_unavailable")
        assert world.called_at == []

    def test_takes_no_warning_back(self, world: World, log: pytest.LogCaptureFixture) -> None:
        entries = '[{"expiration_date": "2027-02-01"}]'
        world.outcome = Answered(200, START, body=f'{{"count": 200, "api_keys": {entries}}}')

        assert world.check() == Expiry(1, "2027-02-01", 17, "key_list_incomplete")
        assert written(log) == {"KeyDaysLeft": 17, "KeyExpiryUnknown": 1}

    def test_hides_no_warning(self, world: World, log: pytest.LogCaptureFixture) -> None:
        entries = '[{"expiration_date": "2027-01-20"}]'
        world.outcome = Answered(200, START, body=f'{{"count": 200, "api_keys": {entries}}}')

        world.check()

        assert written(log) == {"KeyDaysLeft": 5, "KeyExpiresSoon": 1, "KeyExpiryUnknown": 1}


class TestCall:
    def test_takes_a_place_of_the_quota(self, world: World) -> None:
        world.check()

        assert world.gate.last_known.burst_calls == 1

    def test_waits_for_its_turn(self, world: World) -> None:
        world.gate.last_known = Gate(burst_at=START + 2, burst_calls=10)

        world.check()

        (called_at,) = world.called_at
        assert called_at == pytest.approx(START + 2 + Pace.within(300).interval_seconds)

    def test_waits_in_the_line_when_others_do(self, world: World) -> None:
        world.gate.last_known = Gate(
            burst_at=START + 2, burst_calls=10, line_at=START + 20, line_calls=5
        )

        assert world.check().reason is None
        assert world.called_at == [START + 20]

    def test_is_not_made_when_its_turn_does_not_come_in_time(self, world: World) -> None:
        world.gate.last_known = Gate(
            burst_at=START + 2, burst_calls=10, line_at=START + 45, line_calls=5
        )

        assert world.check() == Expiry(reason="quota")
        assert world.called_at == []
        assert world.clock() == START

    def test_keeps_to_a_pause(self, world: World) -> None:
        world.gate.last_known = Gate(paused_until=START + 300)

        assert world.check() == Expiry(reason="paused")
        assert world.called_at == []

    def test_tells_the_others_of_a_pause(self, world: World) -> None:
        world.partoo.script(ANY_KEY_LIST, [Answer(status=429, headers={"Retry-After": "17"})])

        world.check()

        assert world.gate.last_known.paused_until == START + 17

    def test_with_a_refused_key_counts_as_everywhere(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.partoo.set_key("another")

        assert world.check() == Expiry(reason="unauthorized", http_status=401)
        assert world.gate.last_known.shut_cause == "key_refused"
        assert written(log)["KeyRefusals"] == 1

    def test_is_made_again_with_a_key_that_was_replaced_meanwhile(self, world: World) -> None:
        world.keys.current()
        world.partoo.set_key("key-2")
        world.keys.secret = "key-2"
        world.clock.advance(1)

        assert world.check() == Expiry(1)
        assert len(world.called_at) == 2

    def test_is_not_made_for_nothing_while_the_key_is_refused(self, world: World) -> None:
        world.gate.last_known = Gate(shut_until=START + 300, shut_cause="key_refused")

        assert world.check() == Expiry(reason="key_refused")
        assert world.called_at == []


def test_what_is_written_names_no_person_and_no_key(
    world: World, log: pytest.LogCaptureFixture
) -> None:
    entry = f'{{"label": "{KEY}", "user_name": "Ada Lovelace", "expiration_date": null}}'
    world.outcome = Answered(200, START, body=f'{{"count": 1, "api_keys": [{entry}]}}')

    expiry = world.check()

    assert expiry == Expiry(1)
    text = "\n".join([*map(JsonFormatter().format, log.records), str(asdict(expiry))])
    assert KEY not in text
    assert "Ada" not in text


def test_the_other_functions_load_nothing_of_it() -> None:
    program = """
import sys
import reinvite_user.app, sweep_invitations.app
loaded = {"check_key", "invitations.key_check", "invitations.expiry"} & sys.modules.keys()
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY / "functions",
        env=SWEEP_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
