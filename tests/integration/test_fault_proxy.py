"""What the fault proxy does to calls of the SDK, and which of them reach AWS."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from local.faults import Fault, FaultProxy, fault_proxy

Call = Callable[[], Any]

PUBLISHED = (
    b"<PublishResponse><PublishResult><MessageId>m1</MessageId></PublishResult></PublishResponse>"
)


@dataclass
class Upstream:
    """Gives all calls the same answer and keeps the requests."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            upstream.paths.append(self.path)
            upstream.headers.append(dict(self.headers.items()))
            upstream.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            content = b"{}" if "X-Amz-Target" in self.headers else PUBLISHED
            self.send_response_only(200)
            self.send_header("X-Upstream", "yes")
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        yield upstream
        server.shutdown()
        serving.join()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with fault_proxy() as proxy:
        proxy.forward_to(upstream.url)
        yield proxy


@pytest.fixture
def calls(proxy: FaultProxy) -> dict[str, Call]:
    """One call of each service that the functions use, without retries of the SDK."""
    return {
        "dynamodb": partial(_client("dynamodb", proxy).transact_write_items, TransactItems=[{}]),
        "secretsmanager": partial(_client("secretsmanager", proxy).get_secret_value, SecretId="s"),
        "sns": partial(_client("sns", proxy).publish, TopicArn="t", Message="é & co"),
        "sqs": partial(_client("sqs", proxy).send_message, QueueUrl="q", MessageBody="b"),
    }


SERVICES = {
    "dynamodb": "TransactWriteItems",
    "secretsmanager": "GetSecretValue",
    "sns": "Publish",
    "sqs": "SendMessage",
}


@pytest.mark.parametrize("service", SERVICES)
def test_call_and_answer_pass_unchanged_without_a_fault(
    calls: dict[str, Call], proxy: FaultProxy, upstream: Upstream, service: str
) -> None:
    proxy.inject("another", Fault.DROP)
    answer = calls[service]()

    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-upstream"] == "yes"
    assert upstream.paths == ["/"]
    assert f"/{service}/aws4_request" in upstream.headers[0]["Authorization"]
    assert upstream.bodies[0].count(b"Message=%C3%A9+%26+co") == (service == "sns")
    assert not proxy.injected


@pytest.mark.parametrize(("service", "operation"), SERVICES.items())
def test_operation_is_recognised_in_every_protocol(
    calls: dict[str, Call], proxy: FaultProxy, upstream: Upstream, service: str, operation: str
) -> None:
    proxy.inject(service, Fault.DROP, operation=f"Not{operation}")
    proxy.inject(service, Fault.REFUSE, operation=operation)

    with pytest.raises(ClientError) as failure:
        calls[service]()

    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert failure.value.response["Error"]["Code"] == "InternalServerError"
    assert upstream.bodies == []


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("dynamodb", "ProvisionedThroughputExceededException"),
        ("secretsmanager", "ThrottlingException"),
        ("sns", "Throttled"),
        ("sqs", "RequestThrottled"),
    ],
)
def test_throttled_call_gets_the_error_of_its_service(
    calls: dict[str, Call], proxy: FaultProxy, upstream: Upstream, service: str, code: str
) -> None:
    proxy.inject(service, Fault.THROTTLE)

    with pytest.raises(ClientError) as failure:
        calls[service]()

    assert failure.value.response["Error"]["Code"] == code
    assert upstream.bodies == []


@pytest.mark.parametrize(
    ("fault", "error", "carried_out"),
    [
        (Fault.LOSE_REPLY, ConnectionClosedError, 1),
        (Fault.DROP, ConnectionClosedError, 0),
        (Fault.HANG, ReadTimeoutError, 0),
    ],
)
def test_call_without_an_answer_is_carried_out_or_not(
    calls: dict[str, Call],
    proxy: FaultProxy,
    upstream: Upstream,
    fault: Fault,
    error: type[Exception],
    carried_out: int,
) -> None:
    proxy.inject("sns", fault)

    with pytest.raises(error):
        calls["sns"]()

    assert len(upstream.bodies) == carried_out


def test_proxy_ends_while_a_call_hangs() -> None:
    with ThreadPoolExecutor(1) as caller, fault_proxy() as proxy:
        proxy.inject("sns", Fault.HANG)
        hanging = caller.submit(lambda: _client("sns", proxy, patience=60).publish(Message="m"))
        _wait_until(lambda: proxy.injected["sns", Fault.HANG] == 1)

    assert isinstance(hanging.exception(), ConnectionClosedError)


def test_faults_apply_in_order_for_their_number_of_calls_and_are_counted(
    calls: dict[str, Call], proxy: FaultProxy, upstream: Upstream
) -> None:
    proxy.inject("sns", Fault.LOSE_REPLY, times=1)
    proxy.inject("sns", Fault.REFUSE, times=1)

    with pytest.raises(ConnectionClosedError):
        calls["sns"]()
    with pytest.raises(ClientError):
        calls["sns"]()
    calls["sns"]()

    assert proxy.injected == {("sns", Fault.LOSE_REPLY): 1, ("sns", Fault.REFUSE): 1}
    assert len(upstream.bodies) == 2


def test_probability_decides(calls: dict[str, Call], proxy: FaultProxy, upstream: Upstream) -> None:
    never, always = 0.0, 1.0
    proxy.inject("sns", Fault.DROP, probability=never)
    proxy.inject("sqs", Fault.DROP, probability=always)

    calls["sns"]()
    with pytest.raises(ConnectionClosedError):
        calls["sqs"]()

    assert len(upstream.bodies) == 1


def test_calls_pass_after_clear(calls: dict[str, Call], proxy: FaultProxy) -> None:
    proxy.inject("sns", Fault.DROP)

    proxy.clear()

    calls["sns"]()
    assert not proxy.injected


def _client(service: str, proxy: FaultProxy, patience: float = 0.2) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # one overload for each service's name
        service,
        endpoint_url=proxy.url,
        region_name="eu-west-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="local",
        config=Config(read_timeout=patience, retries={"total_max_attempts": 1}),
    )


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)
