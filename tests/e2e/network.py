"""The network of `examples/fixed-address`, adapted to the local AWS."""

from typing import Any

from local.aws import LocalAws
from tests.infrastructure.template import load


def local_network(aws: LocalAws) -> dict[str, Any]:
    """Return the template with addresses and NAT gateways that are created beforehand.

    The local EC2 supports these, the local CloudFormation does not.
    """
    template = load("examples/fixed-address/template.yaml")
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    created: dict[str, str] = {}
    for zone in "AB":
        address = ec2.allocate_address(Domain="vpc")
        gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])
        created[f"Address{zone}"] = address["PublicIp"]
        created[f"NatGateway{zone}"] = gateway["NatGateway"]["NatGatewayId"]
    resources = template["Resources"]
    template["Resources"] = {name: each for name, each in resources.items() if name not in created}
    replaced: dict[str, Any] = _replaced(template, created)
    return replaced


def _replaced(value: Any, created: dict[str, str]) -> Any:
    """Replace references to created resources."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]} if name in created:
            return created[name]
        case dict():
            return {key: _replaced(each, created) for key, each in value.items()}
        case list():
            return [_replaced(each, created) for each in value]
    return value
