"""Whatever a body contains: it is a request, an order, or invalid input with a result."""

import json
from dataclasses import asdict

import jmespath
from hypothesis import given, settings
from hypothesis import strategies as st

from invitations.messages import Message, RetryState
from invitations.requests import read_message
from invitations.results import Result, Source
from tests.documents import schema

FIELDS = ["user_id", "user_ids", "userId", "request_id", "not_after", "dry_run", "ada@example.com"]
ENVELOPES = ["id", "detail", "Type", "TopicArn", "Records", "messageId", "body", "requestContext"]
TEXTS = ["u1", "..", "null", "DEFER", "9999-12-31", "x" * 129, "a\u200bb", "ada@example.com"]

names = st.sampled_from(FIELDS + ENVELOPES)
texts = st.sampled_from(TEXTS) | st.text(st.characters())
scalars = st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(names, inner) | inner.map(json.dumps),
    max_leaves=5,
)
requests = st.dictionaries(names, values)
events = st.fixed_dictionaries(
    {"source": scalars, "detail-type": scalars, "detail": requests | values},
    optional={"id": scalars},
)
notifications = st.fixed_dictionaries(
    {
        "Type": st.just("Notification"),
        "TopicArn": texts,
        "Message": (requests | events).map(json.dumps) | texts,
    }
)
bodies = (requests | events | notifications | values).map(json.dumps) | texts


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(bodies | bodies.map("\ufeff{}".format))
def test_body_is_read_or_is_invalid_with_a_result_that_fits_the_schema(body: str) -> None:
    message = Message("m1", body, Source.SQS, RetryState(0.0))
    read = read_message(message, jmespath.compile("detail.user_id"))

    if isinstance(read, Result):
        schema("result").validate(asdict(read))
        assert len(read.to_json()) < 10_000
        assert "@" not in str(read.detail)
