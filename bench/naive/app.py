"""The handler that most people write, for comparison: each piece from its library's first page."""

import json
import os
import time
from functools import cache
from typing import Any
from urllib.parse import quote

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

TABLE_NAME = os.environ["TABLE_NAME"]
QUEUE_URL = os.environ["REQUEST_QUEUE_URL"]
TOPIC_ARN = os.environ["RESULT_TOPIC_ARN"]
SECRET_ARN = os.environ["API_KEY_SECRET_ARN"]
BASE_URL = os.environ["PARTOO_BASE_URL"]
WINDOW_SECONDS = 300
HISTORY_SECONDS = 90 * 86_400

logger = Logger(service="naive")
tracer = Tracer(service="naive")
metrics = Metrics(namespace="naive", service="naive")

dynamodb = boto3.client("dynamodb")
secretsmanager = boto3.client("secretsmanager")
sns = boto3.client("sns")
sqs = boto3.client("sqs")


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  # Powertools reads it
    """Carry out one record after another; those that failed come back."""
    failures = []
    for record in event["Records"]:
        try:
            process(record)
        except Exception:
            logger.exception("record failed")
            metrics.add_metric("Failures", MetricUnit.Count, 1)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


@tracer.capture_method
def process(record: dict[str, Any]) -> None:
    request = json.loads(record["body"])
    user_id = request["user_id"]
    request_id = request.get("request_id", record["messageId"])
    if not take_window(user_id):
        finish(request_id, user_id, "skipped", "window_active", None)
        return
    response = requests.post(
        f"{BASE_URL}/user/{quote(user_id, safe='')}/invite",
        headers={"x-APIKey": api_key(), "Content-Type": "application/json"},
        timeout=10,
    )
    if response.status_code == 429 or response.status_code >= 500:
        dynamodb.delete_item(TableName=TABLE_NAME, Key={"pk": {"S": f"USER#{user_id}"}})
        if response.status_code == 429:
            sqs.change_message_visibility(
                QueueUrl=QUEUE_URL,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=int(response.headers.get("Retry-After", "60")),
            )
        raise RuntimeError(f"the API answered {response.status_code}")
    sent = response.status_code == 200
    status, reason = ("sent", "invited") if sent else ("rejected", "refused")
    finish(request_id, user_id, status, reason, response.status_code)


def take_window(user_id: str) -> bool:
    now = int(time.time())
    try:
        dynamodb.put_item(
            TableName=TABLE_NAME,
            Item={
                "pk": {"S": f"USER#{user_id}"},
                "window_ends_at": {"N": str(now + WINDOW_SECONDS)},
                "expires_at": {"N": str(now + WINDOW_SECONDS)},
            },
            ConditionExpression="attribute_not_exists(pk) OR window_ends_at <= :now",
            ExpressionAttributeValues={":now": {"N": str(now)}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


@cache
def api_key() -> str:
    key: str = secretsmanager.get_secret_value(SecretId=SECRET_ARN)["SecretString"]
    return key


def finish(
    request_id: str, user_id: str, status: str, reason: str, http_status: int | None
) -> None:
    result = {
        "schema_version": "1.0",
        "request_id": request_id,
        "user_id": user_id,
        "source": "sqs",
        "status": status,
        "reason": reason,
        "http_status": http_status,
        "occurred_at": time.time(),
    }
    dynamodb.put_item(
        TableName=TABLE_NAME,
        Item={
            "pk": {"S": f"REQUEST#{request_id}"},
            "user_id": {"S": user_id},
            "status": {"S": status},
            "result": {"S": json.dumps(result)},
            "expires_at": {"N": str(int(time.time()) + HISTORY_SECONDS)},
        },
    )
    sns.publish(
        TopicArn=TOPIC_ARN,
        Message=json.dumps(result),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": str(result[name])}
            for name in ("status", "reason", "source")
        },
    )
    logger.info("result published", extra={"request_id": request_id, "user_id": user_id})
    metrics.add_metric("Results", MetricUnit.Count, 1)
