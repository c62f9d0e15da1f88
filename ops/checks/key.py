"""The API key: its form in the secret, and what the API says when the functions use it."""

import json
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from invitations.api_key import parse_api_key
from invitations.errors import KeyUnavailableError
from invitations.key_check import WARNING_DAYS
from ops.checks.stack import Finding, Findings, Stack, look, ok, refused, wrong
from ops.limiter import read_pause

_SUBJECT = "API key"
_PUT = "put the key into it: docs/runbook.md#rotate-the-key"
# The check may wait for its token. A second invocation would be a second call.
_ONCE = Config(read_timeout=120, retries={"total_max_attempts": 1})
_NOT_TRIED = ("quota", "throttled", "operator", "outage", "token_expired", "time_budget_exhausted")
_REFUSED = ("unauthorized", "key_refused")
_NOT_LISTED = (
    "key_list_refused",
    "key_not_listed",
    "key_list_incomplete",
    "key_list_unreadable",
    "key_date_unreadable",
)


def key(stack: Stack) -> Findings:
    """Read the secret, then let the function that checks the key call the API, within the quota."""
    try:
        fault = _fault(stack)
    except ClientError as error:
        # Without the permission to read the secret, the API's answer says more.
        yield refused(_SUBJECT, error)
    else:
        if fault is not None:
            yield fault
            return
    now = time.time()
    paused = read_pause(stack.client("dynamodb"), stack.deployed.output("TableName"), now)
    if paused is not None and paused.until > now:
        yield ok(_SUBJECT, "the secret has one; it is not tried while calls are paused")
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


def _fault(stack: Stack) -> Finding | None:
    secret = stack.deployed.output("ApiKeySecretArn")
    value = read_secret(stack.client("secretsmanager"), secret)
    if value is None:
        return look(_SUBJECT, f"requests wait, because the secret {secret} is empty; {_PUT}")
    try:
        parse_api_key(value)
    except KeyUnavailableError as error:
        return wrong(_SUBJECT, f"{error}; {_PUT}")
    return None


def _judge(answer: Any, *, failed: bool) -> Finding:
    if failed:
        text = f"the function that checks it failed: {answer.get('errorMessage')}"
        return wrong(_SUBJECT, f"{text}; docs/runbook.md#function-errors")
    reason, day, days = (answer.get(name) for name in ("reason", "expires_on", "days_left"))
    if reason in _REFUSED:
        return wrong(_SUBJECT, "the API refuses it; docs/runbook.md#key-refused")
    if reason in _NOT_TRIED:
        return look(_SUBJECT, f"it was not tried ({reason}); run this again later")
    if reason is not None and reason not in _NOT_LISTED:
        return wrong(_SUBJECT, f"the functions could not try it: {reason}, see docs/runbook.md")
    if days is not None and days <= WARNING_DAYS:
        return look(
            _SUBJECT, f"it, or a key like it, expires on {day}; docs/runbook.md#key-expiring"
        )
    if reason is not None:
        text = f"the API does not say when it expires ({reason}, HTTP {answer.get('http_status')})"
        return look(_SUBJECT, f"{text}; see {reason} in docs/runbook.md")
    expiry = f"it expires on {day}" if day else "it never expires"
    return ok(_SUBJECT, f"the API takes it; {expiry}. Whether it may invite shows with a request")
