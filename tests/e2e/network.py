"""The network of `examples/fixed-address`, adapted to the local AWS."""

from collections.abc import Mapping
from typing import Any

from local.aws import LocalAws
from tests.infrastructure.template import load

# The local EC2 supports these, the local CloudFormation does not.
_ADDRESS = "AWS::EC2::EIP"
_GATEWAY = "AWS::EC2::NatGateway"
_SHORT_FORMS = ("Equals", "GetAZs", "GetAtt", "If", "Join", "Select", "Sub")


def local_network(aws: LocalAws) -> dict[str, Any]:
    """Return the template with addresses and NAT gateways that are created beforehand."""
    template = load("examples/fixed-address/template.yaml")
    ec2 = aws.client("ec2")
    resources = template["Resources"]
    created: dict[str, str] = {}
    for name in [name for name, each in resources.items() if each["Type"] == _ADDRESS]:
        address = ec2.allocate_address(Domain="vpc")
        created |= {f"{name}.{key}": address[key] for key in ("AllocationId", "PublicIp")}
        del resources[name]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    for name in [name for name, each in resources.items() if each["Type"] == _GATEWAY]:
        allocation = created[resources[name]["Properties"]["AllocationId"]["GetAtt"]]
        gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)
        created[name] = gateway["NatGateway"]["NatGatewayId"]
        del resources[name]
    converted: dict[str, Any] = _converted(template, created)
    return converted


def _converted(value: Any, created: Mapping[str, str]) -> Any:
    """Convert short intrinsic functions to JSON, and replace references to created resources."""
    match value:
        case {"Ref": str(name)} | {"GetAtt": str(name)} if name in created:
            return created[name]
        case {"GetAtt": str(name)}:
            return {"Fn::GetAtt": name.split(".")}
        case dict():
            return {
                f"Fn::{key}" if len(value) == 1 and key in _SHORT_FORMS else key: _converted(
                    each, created
                )
                for key, each in value.items()
            }
        case list():
            return [_converted(each, created) for each in value]
    return value
