"""The network of `examples/fixed-address`, as far as the local AWS can make it."""

from collections.abc import Mapping
from typing import Any

from local.aws import LocalAws
from tests.infrastructure.template import load

# The local CloudFormation has no such resources; the local EC2 has.
_ADDRESS = "AWS::EC2::EIP"
_GATEWAY = "AWS::EC2::NatGateway"
_SHORT_FORMS = ("Equals", "GetAZs", "GetAtt", "If", "Join", "Select", "Sub")


def local_network(aws: LocalAws) -> dict[str, Any]:
    """The template, with addresses and NAT gateways that are there already in place of its own."""
    template = load("examples/fixed-address/template.yaml")
    ec2 = aws.client("ec2")
    resources = template["Resources"]
    there: dict[str, str] = {}
    for name in [name for name, each in resources.items() if each["Type"] == _ADDRESS]:
        address = ec2.allocate_address(Domain="vpc")
        there |= {f"{name}.{key}": address[key] for key in ("AllocationId", "PublicIp")}
        del resources[name]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    for name in [name for name, each in resources.items() if each["Type"] == _GATEWAY]:
        allocation = there[resources[name]["Properties"]["AllocationId"]["GetAtt"]]
        gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)
        there[name] = gateway["NatGateway"]["NatGatewayId"]
        del resources[name]
    rewritten: dict[str, Any] = _rewritten(template, there)
    return rewritten


def _rewritten(value: Any, there: Mapping[str, str]) -> Any:
    """In the long form, which JSON can hold, and with what is there in place of references."""
    match value:
        case {"Ref": str(name)} | {"GetAtt": str(name)} if name in there:
            return there[name]
        case {"GetAtt": str(name)}:
            return {"Fn::GetAtt": name.split(".")}
        case dict():
            return {
                f"Fn::{key}" if len(value) == 1 and key in _SHORT_FORMS else key: _rewritten(
                    each, there
                )
                for key, each in value.items()
            }
        case list():
            return [_rewritten(each, there) for each in value]
    return value
