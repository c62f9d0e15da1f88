"""What stops the calls to the API: the stack's state, a pause, the key."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from invitations.api_key import parse_api_key
from invitations.errors import KeyUnavailableError
from invitations.key_check import WARNING_DAYS
from ops.checks.stack import Finding, Findings, Stack, look, ok, refused, wrong
from ops.limiter import read_pause

_PUT = "put the key into it: docs/runbook.md#rotate-the-key"
# The check may wait for its token. A second invocation would be a second call.
_ONCE = Config(read_timeout=120, retries={"total_max_attempts": 1})
_REFUSED = ("unauthorized", "key_refused")
# How the reasons begin that do not say that requests fail, too: the key was not tried, or the API
# took it and did not say when it expires.
_UNKNOWN = (
    *("quota", "throttled", "operator", "outage", "time_budget_exhausted"),
    *("key_list_", "key_not_listed", "key_date_"),
)


def account(stack: Stack) -> Findings:
    sts = stack.client("sts")
    caller = sts.get_caller_identity()
    yield ok(f"{caller['Account']}, {sts.meta.region_name}, as {caller['Arn']}")


def stack_state(stack: Stack) -> Findings:
    status = stack.deployed.status
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        yield ok(f"{stack.name} is {status}")
        return
    events = f"aws cloudformation describe-stack-events --stack-name {stack.name} says why"
    works = status == "UPDATE_ROLLBACK_COMPLETE" or status.endswith("_IN_PROGRESS")
    yield (look if works else wrong)(f"{stack.name} is {status}; {events}")


def pause(stack: Stack) -> Findings:
    found = read_pause(stack.client("dynamodb"), stack.deployed.output("TableName"), time.time())
    if found is None:
        yield ok("calls are not paused")
    elif found.reason == "operator":
        yield look(f"somebody paused all calls; make resume STACK={stack.name}")
    elif found.reason == "throttled":
        until = f"{datetime.fromtimestamp(found.until, UTC):%Y-%m-%d %H:%M} UTC"
        yield look(f"the API asked for no calls until {until}; docs/runbook.md#throttled")
    else:
        section = "key-refused" if found.reason == "key_refused" else "breaker-open"
        yield wrong(f"the breaker is open ({found.reason}); docs/runbook.md#{section}")


def key(stack: Stack) -> Findings:
    """Read the secret, then let the function that checks the key call the API, within the quota."""
    secret = stack.deployed.output("ApiKeySecretArn")
    try:
        value = read_secret(stack.client("secretsmanager"), secret)
        if value is None:
            yield look(f"requests wait, because the secret {secret} is empty; {_PUT}")
            return
        parse_api_key(value)
    except KeyUnavailableError as error:
        yield wrong(f"{error}; {_PUT}")
        return
    except ClientError as error:
        # Without the permission to read the secret, the API's answer says more.
        yield refused(error)
    table_name = stack.deployed.output("TableName")
    if read_pause(stack.client("dynamodb"), table_name, time.time()) is not None:
        yield ok("the secret has one; it is not tried while calls are paused")
        return
    answer = boto3.client("lambda", config=_ONCE).invoke(
        FunctionName=stack.deployed.output("CheckKeyFunctionName"), Payload="{}"
    )
    yield _judge(json.loads(answer["Payload"].read()), failed="FunctionError" in answer)


def read_secret(secrets: Any, secret: str) -> str | bytes | None:
    """Return the secret's value, None if it never had one; raises ClientError."""
    try:
        value = secrets.get_secret_value(SecretId=secret)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        # The same error says that there is no secret.
        secrets.describe_secret(SecretId=secret)
        return None
    # The local AWS creates an empty value.
    return value.get("SecretString") or value.get("SecretBinary") or None


def _judge(answer: Any, *, failed: bool) -> Finding:
    if failed:
        text = f"the function that checks it failed: {answer.get('errorMessage')}"
        return wrong(f"{text}; docs/runbook.md#function-errors")
    reason, day, days = (answer.get(name) for name in ("reason", "expires_on", "days_left"))
    if reason in _REFUSED:
        return wrong("the API refuses it; docs/runbook.md#key-refused")
    if days is not None and days <= WARNING_DAYS:
        return look(f"it, or a key like it, expires on {day}; docs/runbook.md#key-expiring")
    if reason is not None:
        text = f"its expiry is not known ({reason}, HTTP {answer.get('http_status')})"
        finding = look if reason.startswith(_UNKNOWN) else wrong
        return finding(f"{text}; see {reason} in docs/runbook.md")
    expiry = f"it expires on {day}" if day else "it never expires"
    return ok(f"the API takes it; {expiry}. Whether it may invite shows with a request")
