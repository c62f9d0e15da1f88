"""Runs a local AWS (ministack) on the loopback address, with empty state."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import trustme
import urllib3
from botocore.config import Config

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
    _clients: dict[str, Any] = field(default_factory=dict, compare=False)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service; its type depends on the name."""
        if service not in self._clients:
            self._clients[service] = boto3.client(  # type: ignore[call-overload]
                service,
                endpoint_url=self.endpoint_url,
                region_name=REGION,
                aws_access_key_id=_ACCOUNT["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=_ACCOUNT["AWS_SECRET_ACCESS_KEY"],
                verify=self.ca and str(self.ca),
                # A retry would invoke a function twice. An answer may take the function's time-out.
                config=Config(retries={"total_max_attempts": 1}, read_timeout=300),
            )
        return self._clients[service]

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

    def count(self, queue_url: str) -> int:
        """Return the number of messages on a queue, in flight and delayed ones included."""
        attributes = self.client("sqs").get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["All"]
        )["Attributes"]
        names = [name for name in attributes if name.startswith("ApproximateNumberOfMessages")]
        return sum(int(attributes[name]) for name in names)

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
    without it, it serves plain http and is faster. Raises ProcessFailedError.
    """
    port, log = free_port(), logs / "aws.log"
    endpoint_url = f"{'https' if enforces_policies else 'http'}://{_HOST}:{port}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        ca = Path(scratch, "ca.pem") if enforces_policies else None
        # The functions inherit this environment, and nothing of the user's.
        environment = _ACCOUNT | {
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
            **(_certificate(ca) if ca else {}),
        }
        http = urllib3.PoolManager(ca_certs=ca and str(ca), retries=False, timeout=1.0)

        def is_ready() -> bool:
            with suppress(urllib3.exceptions.HTTPError):
                return http.request("GET", f"{endpoint_url}/_ministack/ready").status == 200
            return False

        with running(
            [str(_SERVER)], environment=environment, log=log, directory=Path(scratch)
        ) as server:
            with http:
                wait_until_ready(server, is_ready, seconds=_START_SECONDS, log=log)
            yield LocalAws(endpoint_url, logs, server.pid, ca)


def clean_environment() -> dict[str, str]:
    """Return this process's environment with the local account instead of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | _ACCOUNT


def _certificate(ca: Path) -> dict[str, str]:
    """Issue a certificate and write its authority to `ca`; returns ministack's variables."""
    authority, own = trustme.CA(), ca.with_name("aws.pem")
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert(_HOST).private_key_and_cert_chain_pem.write_to_path(own)
    names = {"MINISTACK_SSL_CERT": str(own), "MINISTACK_SSL_KEY": str(own)}
    return {"AWS_CA_BUNDLE": str(ca), "USE_SSL": "1", **names}
