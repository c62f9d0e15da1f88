"""What docs/cost.md says of a fixed address and of eu-west-1 follows from the list prices."""

import re
from itertools import takewhile

import pytest

from bench.prices import Item, Network
from tests.documents import REPOSITORY

HOURS = 730
E_MAIL_BYTES = 10_000
# SQS, SNS, Secrets Manager.
ENDPOINTS = 3
REQUESTS_PER_MINUTE = 300
# Dollars in eu-west-1 for what us-east-1's list has.
IN_EU_WEST_1 = {Item.TABLE_WRITES: 0.705, Item.TABLE_READS: 0.1415, Item.LOGS: 0.57}
GATEWAY_IN_EU_WEST_1 = 0.048

_DOCUMENT = (REPOSITORY / "docs/cost.md").read_text(encoding="utf-8")
SECTION = " ".join(_DOCUMENT.partition("## A fixed address\n")[2].split())


def monthly(price: Network) -> float:
    return HOURS * price.value.each


def test_each_row_is_its_price_times_its_amount() -> None:
    rows = {
        what: (float(dollars), float(in_europe))
        for what, _, dollars, in_europe in _table("| what | how much |")[2:]
    }
    gateway, address = monthly(Network.GATEWAY_HOURS), monthly(Network.ADDRESS_HOURS)
    gateway_in_europe = HOURS * GATEWAY_IN_EU_WEST_1
    gigabytes = E_MAIL_BYTES * 1_000_000 / 10**9

    assert rows == {
        "NAT gateway": pytest.approx((gateway, gateway_in_europe)),
        "its public IPv4 address": (round(address, 2), round(address, 2)),
        "together, in each zone": pytest.approx((gateway + address, gateway_in_europe + address)),
        "data through the gateway": pytest.approx(
            (gigabytes * Network.GATEWAY_DATA.value.dollars, gigabytes * GATEWAY_IN_EU_WEST_1)
        ),
        "endpoint of DynamoDB": (0.0, 0.0),
    }


def test_totals_of_eu_west_1_follow_from_the_other_columns() -> None:
    header, _, *rows = _table("| | limiter |")
    more = {
        header.index(item.value.label): dollars / item.value.dollars - 1
        for item, dollars in IN_EU_WEST_1.items()
    }
    totals = [
        float(row[-2]) + sum(float(row[place]) * share for place, share in more.items())
        for row in rows
    ]

    assert header[-2:] == ["total", "in eu-west-1"]
    assert [float(row[-1]) for row in rows] == pytest.approx(totals, abs=0.006)


def test_the_prices_are_those_of_the_list() -> None:
    for price in Network:
        assert re.search(rf"(at|and) {price.value.dollars:g}\b", SECTION), price


def test_interface_endpoints_never_pay() -> None:
    hours = ENDPOINTS * monthly(Network.ENDPOINT_HOURS)
    saved = Network.GATEWAY_DATA.value.each - Network.ENDPOINT_DATA.value.each
    e_mails_that_pay = hours / saved / E_MAIL_BYTES
    e_mails_of_the_quota = REQUESTS_PER_MINUTE * 60 * HOURS

    assert f"{hours:.2f} dollars a month" in SECTION
    assert f"from {hours / saved / 10**9:.0f} GB a month" in SECTION
    assert f"{int(e_mails_that_pay / 10**6)} million e-mails" in SECTION
    assert f"lets {e_mails_of_the_quota / 10**6:.0f} million" in SECTION
    assert e_mails_of_the_quota < e_mails_that_pay


def test_the_example_says_the_same() -> None:
    readme = (REPOSITORY / "examples/fixed-address/README.md").read_text(encoding="utf-8")
    whole = monthly(Network.GATEWAY_HOURS) + monthly(Network.ADDRESS_HOURS)

    assert f"{whole:.2f} dollars a month" in readme
    assert f"cost {ENDPOINTS * monthly(Network.ENDPOINT_HOURS):.2f} dollars more" in readme


def _table(first: str) -> list[list[str]]:
    """Return the cells of the table whose header begins so."""
    lines = _DOCUMENT[_DOCUMENT.index(first) :].splitlines()
    table = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table]
