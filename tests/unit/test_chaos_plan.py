"""The plan of a soak depends on its seed alone."""

from itertools import pairwise

from local.chaos.plan import API_FAULTS, API_KEY, draw_plan
from local.samples import Entrance

PLAN = draw_plan(seed=1, count=1000)


def test_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(seed=1, count=1000) == PLAN


def test_another_seed_gives_another_plan() -> None:
    assert draw_plan(seed=2, count=1000) != PLAN


def test_plan_has_its_number_of_requests_and_sends_some_of_them_twice() -> None:
    names = [request.name for request in PLAN.requests]

    assert len(set(names)) == 1000
    assert len(names) > 1000


def test_plan_uses_every_entrance_and_every_api_fault() -> None:
    assert {request.entrance for request in PLAN.requests} == set(Entrance)
    assert {name for request in PLAN.requests for name in request.faults} == set(API_FAULTS)


def test_a_third_of_the_calls_gets_a_fault() -> None:
    faults = sum(len(request.faults) for request in PLAN.requests)
    good = len({request.name for request in PLAN.requests})

    assert 0.30 < faults / (faults + good) < 0.36


def test_outages_of_aws_do_not_overlap_and_end_with_the_plan() -> None:
    of_aws = [each for each in PLAN.outages if each.service != API_KEY]
    gaps = [later.at - each.at - each.seconds for each, later in pairwise(of_aws)]
    last = of_aws[-1]

    assert min(gaps) > 0
    assert last.at + last.seconds <= PLAN.seconds
