"""An order for many users, as a message for each of them."""

import json
from dataclasses import replace

from invitations.messages import Message, RetryState
from invitations.requests import Order
from invitations.results import derived_request_id


def parts_of(message: Message, order: Order) -> list[Message]:
    """A message for each user, named after the order and the user."""
    parts = []
    for user_id in order.user_ids:
        request_id = derived_request_id(order.order_id, user_id)
        parts.append(
            replace(
                message,
                message_id=request_id,
                body=json.dumps({"user_id": user_id, **order.fields}),
                retry_state=RetryState(request_id, order.source, message.asked_at),
            )
        )
    return parts
