"""The numbers of the template that the measurements depend on."""

from dataclasses import dataclass

import yaml

from local.aws import REPOSITORY


class _Loader(yaml.SafeLoader):
    """Reads over CloudFormation's own tags: none of the numbers has one."""


_Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


@dataclass(frozen=True)
class FunctionNumbers:
    memory_gb: float
    executions_at_once: int
    batch_size: int
    gather_seconds: float
    """How long what comes back from a wait is gathered into a batch."""


def function_numbers() -> FunctionNumbers:
    """Raises KeyError when the template is laid out in another way."""
    document = yaml.load((REPOSITORY / "template.yaml").read_text(), Loader=_Loader)  # noqa: S506
    properties = document["Resources"]["ReinviteUserFunction"]["Properties"]
    queue = properties["Events"]["Requests"]["Properties"]
    return FunctionNumbers(
        properties["MemorySize"] / 1024,
        queue["ScalingConfig"]["MaximumConcurrency"],
        queue["BatchSize"],
        properties["Events"]["Retries"]["Properties"].get("MaximumBatchingWindowInSeconds", 0),
    )
