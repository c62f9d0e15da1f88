"""The physical floor of an e-mail: its calls one after the other, with nothing in between.

Run by the driver like a handler, so that it is measured in the same way. It speaks HTTP over
connections that stay open, with bodies made before the clock starts.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode, urlsplit

_AWS = urlsplit(os.environ["AWS_ENDPOINT_URL"])
_API = urlsplit(os.environ["PARTOO_BASE_URL"])
_TABLE = os.environ["TABLE_NAME"]
_TOPIC = os.environ["RESULT_TOPIC_ARN"]
_KEY = os.environ["API_KEY"]
_SIDE_BY_SIDE = 10

_executor = ThreadPoolExecutor(_SIDE_BY_SIDE)
_connections = threading.local()


def handler(event: Mapping[str, Any], _context: object) -> dict[str, float]:
    """Make the calls of one e-mail, and then of ten side by side; returns seconds of each."""
    users: list[str] = event["users"]
    _connect()
    began = time.perf_counter()
    _email(users[0])
    _publish(1)
    one = time.perf_counter() - began
    began = time.perf_counter()
    list(_executor.map(_email, users[1:]))
    _publish(len(users) - 1)
    return {"one": one, "ten": time.perf_counter() - began}


def _connect() -> None:
    """Open this thread's connections, once: the first round warms up."""
    if not hasattr(_connections, "aws"):
        _connections.aws = http.client.HTTPConnection(_AWS.hostname or "", _AWS.port)
        _connections.api = http.client.HTTPConnection(_API.hostname or "", _API.port)
        _connections.aws.connect()
        _connections.api.connect()


def _email(user: str) -> None:
    _connect()
    _put(f"USER#{user}")
    _send(
        _connections.api,
        f"{_API.path}/user/{user}/invite",
        b"",
        {"x-APIKey": _KEY, "Content-Type": "application/json"},
    )
    _put(f"REQUEST#{user}")


def _put(key: str) -> None:
    body = json.dumps({"TableName": _TABLE, "Item": {"pk": {"S": key}}}).encode()
    target = {
        "X-Amz-Target": "DynamoDB_20120810.PutItem",
        "Content-Type": "application/x-amz-json-1.0",
    }
    _send(_connections.aws, "/", body, {**target, **_credential("dynamodb")})


def _publish(count: int) -> None:
    form = {"Action": "PublishBatch", "Version": "2010-03-31", "TopicArn": _TOPIC}
    for number in range(1, count + 1):
        entry = f"PublishBatchRequestEntries.member.{number}"
        form |= {f"{entry}.Id": str(number), f"{entry}.Message": "sent"}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _send(_connections.aws, "/", urlencode(form).encode(), {**kind, **_credential("sns")})


def _credential(service: str) -> dict[str, str]:
    """What the local AWS tells a service by; it does not check signatures."""
    scope = f"000000000000/20260101/eu-west-1/{service}/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    return {"Authorization": signature}


def _send(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> None:
    connection.request("POST", path, body, dict(headers))
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path} was answered {response.status}: {content!r}")
