"""Runs a local AWS (ministack) on the loopback address, with empty state."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import trustme
import urllib3
from botocore.config import Config

from local.errors import NotInstalledError
from local.processes import free_port, running, wait_until_ready

REPOSITORY = Path(__file__).resolve().parents[1]
REGION = "eu-west-1"

_SERVER = REPOSITORY / ".venv/aws/bin/ministack"
_START_SECONDS = 30.0
_HOST = "127.0.0.1"
# ministack takes a key of twelve digits for the account id.
_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "000000000000",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS; `logs` is the folder of its log and of the deployments' logs."""

    endpoint_url: str
    logs: Path
    server_pid: int | None = None
    """None if the server is not a child of this process."""
    ca: Path | None = None
    """The certificate authority of its certificate; None for plain http."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of the local AWS.

        Any, because the type depends on the service's name: annotate the variable that keeps the
        client.
        """
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=_ACCOUNT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_ACCOUNT["AWS_SECRET_ACCESS_KEY"],
            verify=self.ca and str(self.ca),
            # A retry would invoke a function twice. An answer may take the function's time-out.
            config=Config(retries={"total_max_attempts": 1}, read_timeout=300),
        )

    def create_table(self, name: str, *key: str) -> None:
        """Create a table with a key of strings: the partition key, then the sort key."""
        self.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in key],
            KeySchema=[
                {"AttributeName": each, "KeyType": kind}
                for each, kind in zip(key, ("HASH", "RANGE"), strict=False)
            ],
        )

    def receive(self, queue_url: str, wait_seconds: int = 0) -> list[dict[str, Any]]:
        """Receive and delete up to ten messages; waits for the first one."""
        sqs = self.client("sqs")
        messages: list[dict[str, Any]] = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def peek(self, queue_url: str) -> list[dict[str, Any]]:
        """Return a queue's messages, those under way included, without receiving them."""
        url = f"{self.endpoint_url}/_ministack/sqs/messages"
        with _pool(self.ca) as pool:
            reply = pool.request("GET", url, fields={"QueueUrl": queue_url}).json()
        ((_, by_queue),) = reply["messages"][_ACCOUNT["AWS_ACCESS_KEY_ID"]].items()
        messages: list[dict[str, Any]] = by_queue[queue_url]
        return messages

    def environment(self) -> dict[str, str]:
        """Return the environment of a child process that is to use the local AWS."""
        trust = {} if self.ca is None else {"AWS_CA_BUNDLE": str(self.ca)}
        return clean_environment() | {"AWS_ENDPOINT_URL": self.endpoint_url} | trust


@contextmanager
def local_aws(
    logs: Path, *, functions_endpoint_url: str | None = None, enforces_policies: bool = True
) -> Iterator[LocalAws]:
    """Run a local AWS for the length of the block.

    `functions_endpoint_url`: where its functions call AWS, for example a fault proxy; None for the
    local AWS itself. `enforces_policies`: IAM and resource policies apply, and it serves https;
    without it, it serves plain http and is faster. Raises NotInstalledError, NotReadyError.
    """
    if not _SERVER.exists():
        raise NotInstalledError(_SERVER)
    port = free_port()
    endpoint_url = f"{'https' if enforces_policies else 'http'}://{_HOST}:{port}"
    log = logs / "aws.log"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        ca = Path(scratch, "ca.pem") if enforces_policies else None
        # The functions inherit this environment, and nothing of the user's.
        environment = (
            _ACCOUNT
            | {
                "AUTH": str(enforces_policies).lower(),
                "AWS_ENDPOINT_URL": functions_endpoint_url or endpoint_url,
                "BIND_HOST": _HOST,
                "GATEWAY_PORT": str(port),
                "HOME": scratch,
                "IOT_MTLS_ENABLED": "0",
                # WARNING would silence the functions' loggers, too.
                "LOG_LEVEL": "INFO",
                "MINISTACK_HOST": _HOST,
                "MINISTACK_REGION": REGION,
                "PATH": os.environ["PATH"],
                "SFTP_ENABLED": "0",
                "TMPDIR": scratch,
            }
            | ({} if ca is None else _certificate(ca))
        )
        with running(
            [str(_SERVER)], environment=environment, log=log, directory=Path(scratch)
        ) as server:
            wait_until_ready(
                server, lambda: _answers(endpoint_url, ca), seconds=_START_SECONDS, log=log
            )
            yield LocalAws(endpoint_url, logs, server.pid, ca)


def clean_environment() -> dict[str, str]:
    """Return this process's environment with the local account instead of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | _ACCOUNT


def _certificate(ca: Path) -> dict[str, str]:
    """Issue a certificate and write its authority to `ca`; returns ministack's variables."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca)
    own = ca.with_name("aws.pem")
    authority.issue_cert(_HOST).private_key_and_cert_chain_pem.write_to_path(own)
    return {
        "AWS_CA_BUNDLE": str(ca),
        "MINISTACK_SSL_CERT": str(own),
        "MINISTACK_SSL_KEY": str(own),
        "USE_SSL": "1",
    }


def _pool(ca: Path | None) -> urllib3.PoolManager:
    return urllib3.PoolManager(ca_certs=ca and str(ca), retries=False, timeout=1.0)


def _answers(endpoint_url: str, ca: Path | None) -> bool:
    try:
        with _pool(ca) as pool:
            reply = pool.request("GET", f"{endpoint_url}/_ministack/ready")
    except urllib3.exceptions.HTTPError:
        return False
    return reply.status == 200
