"""The SDK's session: botocore still does by itself what it does for the services in use."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.handlers import BUILTIN_HANDLERS
from botocore.hooks import EVENT_ALIASES
from botocore.session import Session

from invitations.bootstrap import sdk_session

SERVICES = ("dynamodb", "secretsmanager", "sns", "sqs")


class Body:
    def stream(self) -> Iterator[bytes]:
        yield b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>"


@pytest.fixture
def request_of_a_transaction(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What botocore has made of the call by the time it would be sent."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "reinvite-user")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793")
    requests: list[Any] = []

    def note(params: Any, **_: object) -> Any:
        requests.append(params)
        return AWSResponse("", 200, HTTPHeaders(), None), {}

    client = sdk_session().create_client(
        "dynamodb", "eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    client.meta.events.register_last("before-call", note)
    action = {"TableName": "any", "Key": {"pk": {"S": "any"}}}
    client.transact_write_items(TransactItems=[{"Delete": action}])  # type: ignore[attr-defined]  # made at run time
    (request,) = requests
    return request


def published_by(session: Session) -> Any:
    """A request of SNS, as it would be sent."""
    requests: list[Any] = []

    def answer(request: Any, **_: object) -> Any:
        requests.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), Body())

    client = session.create_client(
        "sns", "eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    client.meta.events.register("before-send", answer)
    entry = {
        "Id": "0",
        "Message": '{"reason": "ä + b & c=d"}',
        "MessageAttributes": {"status": {"DataType": "String", "StringValue": "sent"}},
    }
    client.publish_batch(TopicArn="arn:any", PublishBatchRequestEntries=[entry])  # type: ignore[attr-defined]  # made at run time
    (request,) = requests
    return request


def test_a_transaction_that_the_sdk_repeats_is_carried_out_once(
    request_of_a_transaction: Any,
) -> None:
    assert json.loads(request_of_a_transaction["body"])["ClientRequestToken"]


def test_a_call_goes_on_with_the_trace(request_of_a_transaction: Any) -> None:
    assert "X-Amzn-Trace-Id" in request_of_a_transaction["headers"]


def test_a_result_arrives_as_the_sdk_would_have_sent_it() -> None:
    ours, plain = (published_by(session) for session in (sdk_session(), Session()))

    assert ours.body == plain.body.encode()
    statistics = {"User-Agent", "amz-sdk-invocation-id", "amz-sdk-request"}
    assert ours.headers.keys() - statistics == plain.headers.keys() - statistics
    assert ours.headers["Content-Type"] == plain.headers["Content-Type"]
    assert not {"amz-sdk-invocation-id", "amz-sdk-request"} & ours.headers.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_in_use_is_called_by_an_old_name(service: str) -> None:
    client = sdk_session().create_client(service, "eu-west-1")
    name = client.meta.service_model.service_id.hyphenize()

    assert name not in EVENT_ALIASES


@pytest.mark.parametrize("service", ["dynamodb", "secrets-manager", "sns", "sqs"])
def test_no_handler_of_a_service_in_use_asks_for_a_place_in_the_order(service: str) -> None:
    of_this_or_all = [
        each for each in BUILTIN_HANDLERS if each[0].split(".")[1:2] in ([], [service])
    ]

    assert of_this_or_all
    assert all(len(each) == 2 for each in of_this_or_all)
