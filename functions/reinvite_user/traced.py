"""Entrypoint with tracing: the same, and X-Ray is told what everything took."""

from invitations import tracing
from invitations.gate import BATCH_SIZE
from reinvite_user import app

app.executor = tracing.TracedExecutor(BATCH_SIZE)
app.service.api = tracing.TracedInvitations(app.service.api)
handler = tracing.capture_handler(app.handler)
