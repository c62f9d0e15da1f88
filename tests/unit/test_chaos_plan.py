"""The plan of a soak comes from its seed alone."""

from itertools import pairwise

from local.chaos.plan import API_FAULTS, draw_plan
from local.samples import Entrance

PLAN = draw_plan(seed=1, requests=1000)


def test_the_same_seed_draws_the_same_plan() -> None:
    assert draw_plan(seed=1, requests=1000) == PLAN


def test_another_seed_draws_another_plan() -> None:
    assert draw_plan(seed=2, requests=1000) != PLAN


def test_a_plan_has_so_many_requests_and_sends_some_of_them_again() -> None:
    names = [order.name for order in PLAN.orders]

    assert len(set(names)) == 1000
    assert len(names) > 1000


def test_every_entrance_and_every_fault_of_the_api_is_used() -> None:
    assert {order.entrance for order in PLAN.orders} == set(Entrance)
    assert {name for order in PLAN.orders for name in order.faults} == set(API_FAULTS)


def test_a_third_of_the_calls_is_to_go_wrong() -> None:
    faults = sum(len(order.faults) for order in PLAN.orders)
    good = len({order.name for order in PLAN.orders})

    assert 0.30 < faults / (faults + good) < 0.36


def test_outages_never_overlap_and_end_with_the_plan() -> None:
    gaps = [later.at - each.at - each.seconds for each, later in pairwise(PLAN.outages)]
    last = PLAN.outages[-1]

    assert min(gaps) > 0
    assert last.at + last.seconds <= PLAN.seconds
