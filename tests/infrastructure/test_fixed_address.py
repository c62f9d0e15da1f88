"""The network with a fixed address, and how the functions get into it."""

import ipaddress
import re
from typing import Any

import pytest

from tests.infrastructure.template import FUNCTIONS, PARAMETERS, TEMPLATE, function, load

NETWORK = load("examples/fixed-address/template.yaml")
PARTS = NETWORK["Resources"]


def is_given(parameter: str) -> dict[str, Any]:
    return {"Not": [{"Equals": [{"Ref": parameter}, ""]}]}


def parts_of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in PARTS.items() if each["Type"] == kind}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_in_a_network_when_one_is_given_and_else_in_none(name: str) -> None:
    assert function(name)["VpcConfig"] == {
        "If": [
            "IsInVpc",
            {
                "SubnetIds": {"Split": [",", {"Ref": "SubnetIds"}]},
                "SecurityGroupIds": {"Split": [",", {"Ref": "SecurityGroupIds"}]},
            },
            {"Ref": "AWS::NoValue"},
        ]
    }
    assert TEMPLATE["Conditions"]["IsInVpc"] == is_given("SubnetIds")


@pytest.mark.parametrize(
    ("given", "missing"), [("SubnetIds", "SecurityGroupIds"), ("SecurityGroupIds", "SubnetIds")]
)
def test_both_parameters_are_given_or_neither(given: str, missing: str) -> None:
    rules = TEMPLATE["Rules"].values()
    (rule,) = [each for each in rules if each["RuleCondition"] == is_given(given)]

    assert [each["Assert"] for each in rule["Assertions"]] == [is_given(missing)]


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("SubnetIds", "", True),
        ("SubnetIds", "subnet-0a1b2c3d,subnet-4e5f6071", True),
        ("SubnetIds", "subnet-0a1b2c3d, subnet-4e5f6071", False),
        ("SubnetIds", "subnet-0a1b2c3d,", False),
        ("SubnetIds", "sg-0a1b2c3d", False),
        ("SecurityGroupIds", "sg-0a1b2c3d,sg-4e5f6071", True),
        ("SecurityGroupIds", "subnet-0a1b2c3d", False),
    ],
)
def test_parameters_take_ids_with_commas_between_them(
    parameter: str, value: str, allowed: bool
) -> None:
    assert bool(re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], value)) is allowed


ZONES = ("A", "B")


@pytest.mark.parametrize("zone", ZONES)
def test_network_leaves_each_private_subnet_by_the_address_of_its_zone(zone: str) -> None:
    gateway = PARTS[f"NatGateway{zone}"]["Properties"]
    association = PARTS[f"PrivateSubnet{zone}Routes"]["Properties"]
    route = PARTS[f"PrivateRouteOut{zone}"]["Properties"]

    assert association["SubnetId"] == {"Ref": f"PrivateSubnet{zone}"}
    assert association["RouteTableId"] == route["RouteTableId"]
    assert route["DestinationCidrBlock"] == "0.0.0.0/0"
    assert route["NatGatewayId"] == {"Ref": f"NatGateway{zone}"}
    assert gateway["SubnetId"] == {"Ref": f"PublicSubnet{zone}"}
    assert gateway["AllocationId"] == {"GetAtt": f"Address{zone}.AllocationId"}


@pytest.mark.parametrize("zone", ZONES)
def test_network_leaves_each_public_subnet_by_the_internet_gateway(zone: str) -> None:
    association = PARTS[f"PublicSubnet{zone}Routes"]["Properties"]
    route = PARTS["PublicRouteOut"]["Properties"]

    assert association["SubnetId"] == {"Ref": f"PublicSubnet{zone}"}
    assert association["RouteTableId"] == route["RouteTableId"]
    assert route["GatewayId"] == {"Ref": "InternetGateway"}


@pytest.mark.parametrize(("zone", "index"), [("A", "0"), ("B", "1")])
def test_network_keeps_a_subnet_and_its_gateway_in_one_zone(zone: str, index: str) -> None:
    """Else one zone's fault would stop the other, and traffic between them is paid for."""
    zones = [
        PARTS[f"{kind}Subnet{zone}"]["Properties"]["AvailabilityZone"]
        for kind in ("Public", "Private")
    ]

    assert zones == [{"Select": [int(index), {"GetAZs": ""}]}] * 2


def test_the_second_zone_is_made_only_when_it_is_wanted() -> None:
    second = {name for name in PARTS if re.search(r"B(Routes)?$", name)}

    assert {name for name, each in PARTS.items() if "Condition" in each} == second
    assert {PARTS[name]["Condition"] for name in second} == {"HasZoneB"}
    assert NETWORK["Parameters"]["Zones"]["Default"] == 1


def test_the_gateways_wait_for_a_way_out() -> None:
    waiting = ("AddressA", "AddressB", "NatGatewayA", "NatGatewayB", "PublicRouteOut")

    assert {PARTS[name]["DependsOn"] for name in waiting} == {"InternetAttachment"}


def test_the_subnets_share_the_range_without_overlap() -> None:
    subnets = [
        ipaddress.IPv4Network(each["CidrBlock"])
        for each in parts_of_type("AWS::EC2::Subnet").values()
    ]
    whole = ipaddress.IPv4Network(PARTS["Vpc"]["Properties"]["CidrBlock"])

    assert list(ipaddress.collapse_addresses(subnets)) == [whole]
    assert sum(each.num_addresses for each in subnets) == whole.num_addresses


def test_network_reaches_the_ledger_by_its_one_endpoint_which_costs_nothing() -> None:
    (endpoint,) = parts_of_type("AWS::EC2::VPCEndpoint").values()

    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == {"Sub": "com.amazonaws.${AWS::Region}.dynamodb"}
    assert endpoint["RouteTableIds"] == [
        {"Ref": "PrivateRoutesA"},
        {"If": ["HasZoneB", {"Ref": "PrivateRoutesB"}, {"Ref": "AWS::NoValue"}]},
    ]


def test_network_lets_https_out_and_nothing_in() -> None:
    group = PARTS["FunctionsSecurityGroup"]["Properties"]
    (egress,) = group["SecurityGroupEgress"]

    assert "SecurityGroupIngress" not in group
    assert not parts_of_type("AWS::EC2::SecurityGroupIngress")
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)


def test_network_tells_what_the_stack_and_the_vendor_want_to_know() -> None:
    outputs = {name: each["Value"] for name, each in NETWORK["Outputs"].items()}
    subnets = [{"Ref": f"PrivateSubnet{zone}"} for zone in ZONES]
    addresses = [{"GetAtt": f"Address{zone}.PublicIp"} for zone in ZONES]

    assert outputs == {
        "SubnetIds": {"If": ["HasZoneB", {"Join": [",", subnets]}, subnets[0]]},
        "SecurityGroupIds": {"Ref": "FunctionsSecurityGroup"},
        "AddressToAllow": {"If": ["HasZoneB", {"Join": [",", addresses]}, addresses[0]]},
    }
    assert {"SubnetIds", "SecurityGroupIds"} <= PARAMETERS.keys()
