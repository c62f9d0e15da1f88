"""What the fault proxy does to calls of the SDK, and which of them reach AWS."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from local.faults import Fault, FaultProxy, fault_proxy

PUBLISHED = (
    b"<PublishResponse><PublishResult><MessageId>m1</MessageId></PublishResult></PublishResponse>"
)
CALLS: dict[str, Callable[[Any], Any]] = {
    "dynamodb": lambda client: client.transact_write_items(TransactItems=[{}]),
    "secretsmanager": lambda client: client.get_secret_value(SecretId="s"),
    "sns": lambda client: client.publish(TopicArn="t", Message="é & co"),
    "sqs": lambda client: client.send_message(QueueUrl="q", MessageBody="b"),
}


@dataclass
class Upstream:
    """Gives all calls the same answer and keeps the requests."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            upstream.authorizations.append(self.headers["Authorization"])
            upstream.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response_only(200)
            self.send_header("X-Upstream", self.path)
            self.end_headers()
            self.wfile.write(b"{}" if "X-Amz-Target" in self.headers else PUBLISHED)

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


def call(proxy: FaultProxy, service: str = "sns", read_timeout: float = 60) -> Any:
    """Make one call of a service that the functions use, without retries of the SDK."""
    client = boto3.client(  # type: ignore[call-overload]  # one overload for each service's name
        service,
        endpoint_url=proxy.url,
        region_name="eu-west-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="local",
        config=Config(read_timeout=read_timeout, retries={"total_max_attempts": 1}),
    )
    return CALLS[service](client)


@pytest.mark.parametrize("service", CALLS)
def test_call_and_answer_pass_unchanged_without_a_fault(
    proxy: FaultProxy, upstream: Upstream, service: str
) -> None:
    call(proxy, service)
    proxy.outage = ("another", Fault.REFUSE, 1.0)
    call(proxy, service)
    proxy.outage = (service, Fault.REFUSE, 0.0)

    assert call(proxy, service)["ResponseMetadata"]["HTTPHeaders"]["x-upstream"] == "/"
    assert f"/{service}/aws4_request" in upstream.authorizations[0]
    assert upstream.bodies[0].count(b"Message=%C3%A9+%26+co") == (service == "sns")
    assert not proxy.injected


@pytest.mark.parametrize("service", CALLS)
def test_refused_call_is_an_error_of_the_service_and_counted(
    proxy: FaultProxy, upstream: Upstream, service: str
) -> None:
    proxy.outage = (service, Fault.REFUSE, 1.0)

    with pytest.raises(ClientError) as failure:
        call(proxy, service)
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert upstream.bodies == []
    assert proxy.injected == {(service, Fault.REFUSE): 1}


def test_call_whose_reply_is_lost_is_carried_out(proxy: FaultProxy, upstream: Upstream) -> None:
    proxy.outage = ("sns", Fault.LOSE_REPLY, 1.0)

    with pytest.raises(ConnectionClosedError):
        call(proxy)
    assert len(upstream.bodies) == 1


def test_hanging_call_ends_with_the_time_out_of_the_client(
    proxy: FaultProxy, upstream: Upstream
) -> None:
    proxy.outage = ("sns", Fault.HANG, 1.0)

    with pytest.raises(ReadTimeoutError):
        call(proxy, read_timeout=0.2)
    assert upstream.bodies == []
