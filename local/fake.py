"""`make partoo`: let the fake Partoo server of a running `make local` misbehave, or add users."""

import secrets

from urllib3.exceptions import HTTPError

from local.environment import WORKSPACE
from local.errors import CommandError
from local.partoo.control import ANY_USER, Answer, PartooControl, User
from local.rows import counted, plain_console

ADDRESS = WORKSPACE / "partoo-url"
"""The file in which `make local` says where its fake server listens."""

_THROTTLED = Answer(429, {"Retry-After": "5"})


def main(answer: str, calls: str, users: str) -> int:
    """Set the answer to the next calls, or add users; raises CommandError."""
    number = users or calls
    if not number.isdecimal() or not 0 < int(number) <= 1_000:
        variable = "ADD" if users else "CALLS"
        raise CommandError(f"{variable} is a whole number from 1 to 1,000, not {number!r}.")
    count = int(number)
    try:
        partoo = PartooControl(ADDRESS.read_text(encoding="utf-8"))
        if users:
            added = [User(secrets.token_hex(12)) for _ in range(count)]
            partoo.add_users(*added)
            said = f"{counted(count, 'user')} added:\n" + "\n".join(user.id for user in added)
        else:
            partoo.script(ANY_USER, *[answer_of(answer)] * count)
            said = f"Answer to the next {counted(count, 'invitation')}: {answer}."
    except (OSError, HTTPError) as error:
        raise CommandError("No make local runs in this folder: start it first.") from error
    plain_console().print(said)
    return 0


def answer_of(text: str) -> Answer:
    """Return the answer that ANSWER names; raises CommandError."""
    try:
        return {"lost": Answer(drop="after"), "429": _THROTTLED}.get(text) or Answer(int(text))
    except ValueError:
        raise CommandError(
            "ANSWER is a status from 200 to 599, for example 429, 500, or 401 for a refused key, "
            f"or lost for an e-mail without an answer, not {text!r}. ADD=5 adds five users."
        ) from None
