"""`python trim.py botocore/data`: leaves what the functions use, since every start parses it."""

import gzip
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# A client has methods for these and for nothing else.
OPERATIONS = {
    "dynamodb": (
        "BatchGetItem",
        "GetItem",
        "PutItem",
        "TransactWriteItems",
        "UpdateItem",
    ),
    "secretsmanager": ("GetSecretValue",),
    "sns": ("Publish", "PublishBatch"),
    "sqs": ("SendMessage", "SendMessageBatch"),
}


def main(data: Path) -> None:
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in OPERATIONS:
            shutil.rmtree(folder)
    # Without rules a client has its address from endpoints.json, once; with them it would work out
    # the same one for each call.
    for path in data.glob("*/*/endpoint-rule-set-1.json.gz"):
        path.unlink()
    for path in data.glob("*/*/*.json.gz"):
        document = json.loads(gzip.decompress(path.read_bytes()))
        if path.name == "service-2.json.gz":
            service = path.parent.parent.name
            document["operations"] = _only(OPERATIONS[service], document["operations"])
            document["shapes"] = _reached(document["operations"], document["shapes"])
        # The layer is compressed as a whole.
        _write(path.with_suffix(""), _without_prose(document))
        path.unlink()
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        partition["services"] = _only(OPERATIONS, partition["services"])
    _write(data / "endpoints.json", endpoints)


def _only(names: Iterable[str], mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}


def _reached(operations: Any, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes that the operations refer to, themselves or through others."""
    reached: dict[str, Any] = {}
    ahead = [operations]
    while ahead:
        for name in _references(ahead.pop()):
            if name not in reached:
                reached[name] = shapes[name]
                ahead.append(shapes[name])
    return reached


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        # A member may be called "shape" too; then this is no name.
        if isinstance(node.get("shape"), str):
            yield node["shape"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


def _without_prose(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_prose(value)
            for key, value in node.items()
            if key != "documentation" or not isinstance(value, str)
        }
    return [_without_prose(each) for each in node] if isinstance(node, list) else node


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
