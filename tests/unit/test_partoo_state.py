"""What the fake Partoo server judges promises by: its window, its quota and its call log."""

import pytest

from local.partoo.state import PartooState
from local.partoo.values import Answer, User

NOW = 1_800_000_000.0
HEADERS = {"x-apikey": "key", "content-type": "application/json"}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> PartooState:
    state = PartooState(api_key="key", window_seconds=300, requests_per_minute=4, clock=clock)
    state.add_users([User("u1"), User("u2")])
    return state


def invite(state: PartooState, user_id: str = "u1") -> int:
    return state.receive("POST", f"/v2/user/{user_id}/invite", HEADERS)[0].status


def test_email_opens_a_window_of_its_user(state: PartooState, clock: Clock) -> None:
    statuses = []
    for seconds in (0, 200, 99.9, 0.1):
        clock.now += seconds
        statuses.append(invite(state))

    assert statuses == [200, 400, 400, 200]
    assert invite(state, "u2") == 200
    assert [call.emailed_at for call in state.calls()] == [NOW, None, None, NOW + 300, NOW + 300]


def test_late_email_opens_its_window_when_it_goes_out(state: PartooState, clock: Clock) -> None:
    state.script("u1", [Answer(acts_after=10)])
    invite(state)
    clock.now += 305
    refused = invite(state)
    clock.now += 5

    assert state.calls()[0].emailed_at == NOW + 10
    assert (refused, invite(state)) == (400, 200)


def test_call_above_the_quota_is_refused_and_not_counted(state: PartooState, clock: Clock) -> None:
    statuses = []
    for seconds in (0, 0, 30, 29, 0, 1, 0, 0):
        clock.now += seconds
        statuses.append(invite(state))

    assert statuses == [200, 400, 400, 400, 429, 400, 400, 429]


@pytest.mark.parametrize(
    ("answer", "sends"),
    [
        (Answer(), True),
        (Answer(drop="after"), True),
        (Answer(drop="before"), False),
        (Answer(status=202), False),
        (Answer(status=503, email=True), True),
        (Answer(email=False), False),
    ],
)
def test_log_says_whether_a_scripted_answer_sent_an_email(
    state: PartooState, answer: Answer, sends: bool
) -> None:
    state.script("u1", [answer])
    invite(state)

    assert state.calls()[-1].email_sent == sends
