"""What X-Ray is told: each execution, its calls to AWS and its calls to the API.

Only the traced entrypoints load this: its import takes longer than all of a start without it. Of a
call's arguments and its answer X-Ray learns what is named here, and never the key.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Tracer
from aws_xray_sdk.core import xray_recorder

from invitations.models import Answered, CallOutcome
from invitations.ports import InvitationApi, UserSearch

if TYPE_CHECKING:
    from invitations.directory import View
    from invitations.key_check import KeyList

capture_handler = Tracer(
    service="partoo-reinvite", patch_modules=("botocore",)
).capture_lambda_handler(capture_response=False)


class TracedExecutor(ThreadPoolExecutor):
    """Its threads go on with the trace of whoever gives them work."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        trace = xray_recorder.get_trace_entity()

        def in_trace() -> Any:
            xray_recorder.set_trace_entity(trace)
            return work(*args, **options)

        return super().submit(in_trace)


class TracedInvitations:
    def __init__(self, api: InvitationApi) -> None:
        self._api = api

    def invite(self, user_id: str, api_key: str) -> CallOutcome:
        return _traced("invite", lambda: self._api.invite(user_id, api_key), user_id=user_id)


class TracedSearch:
    def __init__(self, api: UserSearch) -> None:
        self._api = api

    def search(self, view: "View", roles: Sequence[str], api_key: str) -> CallOutcome:
        return _traced("search", lambda: self._api.search(view, roles, api_key), page=view.page)


class TracedKeyList:
    def __init__(self, api: "KeyList") -> None:
        self._api = api

    def list_keys(self, api_key: str) -> CallOutcome:
        return _traced("list keys", lambda: self._api.list_keys(api_key))


def _traced(name: str, call: Callable[[], CallOutcome], **annotations: str | int) -> CallOutcome:
    with xray_recorder.in_subsegment(f"partoo {name}", namespace="remote") as subsegment:
        outcome = call()
        if isinstance(outcome, Answered):
            annotations["http_status"] = outcome.http_status
        if subsegment is not None:
            for key, value in annotations.items():
                subsegment.put_annotation(key, value)
        return outcome
