"""The network with a fixed address, and how the functions get into it."""

import re
from typing import Any

import pytest

from tests.infrastructure.template import FUNCTIONS, TEMPLATE, function, load

NETWORK = load("examples/fixed-address/template.yaml")
PARTS = NETWORK["Resources"]
KINDS = ("Private", "Public")


def is_given(parameter: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_in_a_network_when_one_is_given_and_else_in_none(name: str) -> None:
    assert function(name)["VpcConfig"] == {
        "Fn::If": [
            "IsInVpc",
            {
                "SubnetIds": {"Fn::Split": [",", {"Ref": "SubnetIds"}]},
                "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "SecurityGroupIds"}]},
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


@pytest.mark.parametrize(("zone", "index"), [("A", 0), ("B", 1)])
def test_network_is_left_by_the_address_of_the_zone(zone: str, index: int) -> None:
    """Else one zone's fault would stop the other, and traffic between them is paid for."""
    private, public = (PARTS[f"{kind}Subnet{zone}Routes"]["Properties"] for kind in KINDS)
    gateway = PARTS[f"NatGateway{zone}"]["Properties"]
    zones = [PARTS[f"{kind}Subnet{zone}"]["Properties"]["AvailabilityZone"] for kind in KINDS]

    assert private["SubnetId"] == {"Ref": f"PrivateSubnet{zone}"}
    assert _way_out(private) == {"NatGatewayId": {"Ref": f"NatGateway{zone}"}}
    # Else it could be made in a network that has no way out yet, and fail.
    assert PARTS[f"NatGateway{zone}"]["DependsOn"] == "InternetAttachment"
    assert gateway["AllocationId"] == {"Fn::GetAtt": [f"Address{zone}", "AllocationId"]}
    assert gateway["SubnetId"] == public["SubnetId"] == {"Ref": f"PublicSubnet{zone}"}
    assert _way_out(public) == {"GatewayId": {"Ref": "InternetGateway"}}
    assert zones == [{"Fn::Select": [index, {"Fn::GetAZs": ""}]}] * 2


def test_second_zone_is_made_only_when_it_is_wanted() -> None:
    conditions = {name: each["Condition"] for name, each in PARTS.items() if "Condition" in each}

    assert conditions == {name: "HasZoneB" for name in PARTS if re.search(r"B(Routes)?$", name)}
    assert NETWORK["Parameters"]["Zones"]["Default"] == 1


def test_network_reaches_the_ledger_by_an_endpoint_which_costs_nothing() -> None:
    endpoint = PARTS["LedgerEndpoint"]["Properties"]

    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == {"Fn::Sub": "com.amazonaws.${AWS::Region}.dynamodb"}
    assert endpoint["RouteTableIds"] == [
        {"Ref": "PrivateRoutesA"},
        {"Fn::If": ["HasZoneB", {"Ref": "PrivateRoutesB"}, {"Ref": "AWS::NoValue"}]},
    ]


def test_network_lets_https_out_and_nothing_in() -> None:
    group = PARTS["FunctionsSecurityGroup"]["Properties"]
    (egress,) = group["SecurityGroupEgress"]

    assert "SecurityGroupIngress" not in str(PARTS)
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)


def test_outputs_name_both_zones_when_there_are_two() -> None:
    values = {name: each["Value"] for name, each in NETWORK["Outputs"].items()}
    subnets = [{"Ref": f"PrivateSubnet{zone}"} for zone in "AB"]
    addresses = [{"Fn::GetAtt": [f"Address{zone}", "PublicIp"]} for zone in "AB"]

    assert values["SubnetIds"] == {"Fn::If": ["HasZoneB", {"Fn::Join": [",", subnets]}, subnets[0]]}
    assert values["AddressToAllow"] == {
        "Fn::If": ["HasZoneB", {"Fn::Join": [",", addresses]}, addresses[0]]
    }


def _way_out(association: dict[str, Any]) -> dict[str, Any]:
    """Return the target of the default route of an association's table."""
    (route,) = [
        dict(each["Properties"])
        for each in PARTS.values()
        if each["Type"] == "AWS::EC2::Route"
        and each["Properties"]["RouteTableId"] == association["RouteTableId"]
    ]
    assert route.pop("DestinationCidrBlock") == "0.0.0.0/0"
    del route["RouteTableId"]
    return route
