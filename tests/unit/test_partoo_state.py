"""What the fake Partoo server judges promises by: its window, its quota and its call log."""

import pytest

from local.partoo.state import PartooState
from local.partoo.values import Answer, User
from tests.fakes import START
from tests.reinvite_world import Clock

HEADERS = {"x-apikey": "key", "content-type": "application/json"}


class Partoo(PartooState):
    def __init__(self) -> None:
        self.time = Clock()
        super().__init__(api_key="key", window_seconds=300, requests_per_minute=4, clock=self.time)
        self.add_users([User("u1"), User("u2")])

    def invite(self, after_seconds: float = 0, user_id: str = "u1") -> int:
        self.time.advance(after_seconds)
        return self.receive("POST", f"/v2/user/{user_id}/invite", HEADERS)[0].status


def test_email_opens_a_window_of_its_user() -> None:
    partoo = Partoo()

    assert [partoo.invite(seconds) for seconds in (0, 200, 99.9, 0.1)] == [200, 400, 400, 200]
    assert partoo.invite(user_id="u2") == 200
    emails = [call.emailed_at for call in partoo.calls()]
    assert emails == [START, None, None, START + 300, START + 300]


def test_late_email_opens_its_window_when_it_goes_out() -> None:
    partoo = Partoo()
    partoo.script("u1", [Answer(acts_after=10)])

    assert [partoo.invite(seconds) for seconds in (0, 305, 5)] == [200, 400, 200]
    assert partoo.calls()[0].emailed_at == START + 10


def test_call_above_the_quota_is_refused_and_not_counted() -> None:
    partoo = Partoo()
    statuses = [partoo.invite(seconds) for seconds in (0, 0, 30, 29, 0, 1, 0, 0)]

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
def test_log_says_whether_a_scripted_answer_sent_an_email(answer: Answer, sends: bool) -> None:
    partoo = Partoo()
    partoo.script("u1", [answer])
    partoo.invite()

    assert partoo.calls()[-1].email_sent == sends
