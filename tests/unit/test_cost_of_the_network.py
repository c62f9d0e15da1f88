"""What docs/cost.md says of a fixed address follows from the list prices."""

import re
from itertools import takewhile

from bench.prices import Network
from tests.documents import REPOSITORY

HOURS = 730
E_MAIL_BYTES = 10_000
# SQS, SNS, Secrets Manager.
ENDPOINTS = 3
REQUESTS_PER_MINUTE = 300

_DOCUMENT = (REPOSITORY / "docs/cost.md").read_text(encoding="utf-8")
SECTION = " ".join(_DOCUMENT.partition("## A fixed address\n")[2].split())


def monthly(price: Network) -> float:
    return HOURS * price.value.each


def test_each_row_is_its_price_times_its_amount() -> None:
    lines = _DOCUMENT.partition("## A fixed address\n")[2].splitlines()
    table = takewhile(lambda line: line.startswith("|"), lines[lines.index("|---|---|--:|") + 1 :])
    rows = {
        what.strip(): float(dollars) for what, _, dollars in (row[1:-1].split("|") for row in table)
    }
    gateway, address = monthly(Network.GATEWAY_HOURS), monthly(Network.ADDRESS_HOURS)

    assert rows == {
        "NAT gateway": round(gateway, 2),
        "its public IPv4 address": round(address, 2),
        "together, in each zone": round(gateway + address, 2),
        "data through the gateway": round(
            E_MAIL_BYTES * 1_000_000 * Network.GATEWAY_DATA.value.each, 2
        ),
        "endpoint of DynamoDB": 0.0,
    }


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
