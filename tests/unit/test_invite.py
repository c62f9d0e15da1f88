"""The request that `make invite` sends."""

import pytest

from local.invite import NoUserIdError, compose


def test_a_request_names_itself_and_its_user() -> None:
    request = compose("u1")

    assert request["user_id"] == "u1"
    assert request["request_id"] != compose("u1")["request_id"]


@pytest.mark.parametrize("user_id", [" ", "..", "a\nb", "x" * 129, "\udcff"])
def test_what_the_function_would_refuse_is_refused_at_once(user_id: str) -> None:
    with pytest.raises(NoUserIdError, match="USER="):
        compose(user_id)
