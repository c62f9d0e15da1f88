"""The request that `make invite` sends."""

import pytest

from local.errors import CommandError
from ops.invite import compose


def test_each_request_has_its_own_name() -> None:
    request = compose("u1")

    assert request["user_id"] == "u1"
    assert request["request_id"] != compose("u1")["request_id"]


def test_surrounding_whitespace_is_trimmed() -> None:
    assert compose(" u1\n")["user_id"] == "u1"


@pytest.mark.parametrize("user_id", [" ", "..", "a\nb", "a\u200bb", "x" * 129, "\udcff"])
def test_user_id_that_the_function_refuses_is_refused_before_sending(user_id: str) -> None:
    with pytest.raises(CommandError, match="USER="):
        compose(user_id)
