"""The numbers of the project's template that the measurements depend on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    batching_window_seconds: float


def function_numbers() -> FunctionNumbers:
    """Raises KeyError when the template is laid out in another way."""
    properties = _document()["Resources"]["ReinviteUserFunction"]["Properties"]
    queue = properties["Events"]["Requests"]["Properties"]
    return FunctionNumbers(
        memory_gb=properties["MemorySize"] / 1024,
        executions_at_once=queue["ScalingConfig"]["MaximumConcurrency"],
        batch_size=queue["BatchSize"],
        batching_window_seconds=queue.get("MaximumBatchingWindowInSeconds", 0),
    )


def has_parameter(name: str) -> bool:
    return name in _document()["Parameters"]


def _document() -> Mapping[str, Any]:
    text = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    document: Mapping[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    return document
