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
_NOT_TRIED = ("quota", "throttled", "operator", "outage", "token_expired", "time_budget_exhausted")
_REFUSED = ("unauthorized", "key_refused")
# How the reasons begin for which the API took the key, and did not say when it expires.
_NOT_LISTED = ("key_list_", "key_not_listed", "key_date_")


def account(stack: Stack) -> Findings:
    sts = stack.client("sts")
    caller = sts.get_caller_identity()
    yield ok(f"{caller['Account']}, {sts.meta.region_name}, as {caller['Arn']}")


def stack_state(stack: Stack) -> Findings:
    state = f"{stack.name} is {stack.deployed.status}"
    events = f"aws cloudformation describe-stack-events --stack-name {stack.name} says why"
    match stack.deployed.status:
        case "CREATE_COMPLETE" | "UPDATE_COMPLETE":
            yield ok(state)
        case "UPDATE_ROLLBACK_COMPLETE":
            yield look(f"the last deployment failed and was undone; {events}")
        case status if status.endswith("_IN_PROGRESS"):
            yield look(f"{state}; run this again when it has ended")
        case _:
            yield wrong(f"{state}; {events}")


def pause(stack: Stack) -> Findings:
    found = read_pause(stack.client("dynamodb"), stack.deployed.output("TableName"), time.time())
    match found and found.reason:
        case None:
            yield ok("calls are not paused")
        case "operator":
            yield look(f"somebody paused all calls; make resume STACK={stack.name}")
        case "throttled":
            until = f"{datetime.fromtimestamp(found.until if found else 0, UTC):%Y-%m-%d %H:%M} UTC"
            yield look(f"the API asked for no calls until {until}; docs/runbook.md#throttled")
        case "key_refused":
            yield wrong("the API refused the key, all calls wait; docs/runbook.md#key-refused")
        case reason:
            yield wrong(f"the breaker is open ({reason}); docs/runbook.md#breaker-open")


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
    now = time.time()
    paused = read_pause(stack.client("dynamodb"), stack.deployed.output("TableName"), now)
    if paused is not None and paused.until > now:
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
    if reason in _NOT_TRIED:
        return look(f"it was not tried ({reason}); run this again later")
    if reason is not None and not reason.startswith(_NOT_LISTED):
        return wrong(f"the functions could not try it: {reason}, see docs/runbook.md")
    if days is not None and days <= WARNING_DAYS:
        return look(f"it, or a key like it, expires on {day}; docs/runbook.md#key-expiring")
    if reason is not None:
        text = f"the API does not say when it expires ({reason}, HTTP {answer.get('http_status')})"
        return look(f"{text}; see {reason} in docs/runbook.md")
    expiry = f"it expires on {day}" if day else "it never expires"
    return ok(f"the API takes it; {expiry}. Whether it may invite shows with a request")
