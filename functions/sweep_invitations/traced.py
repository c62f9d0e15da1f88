"""Entrypoint with tracing: the same, and X-Ray is told what everything took."""

from dataclasses import replace

from invitations import tracing
from sweep_invitations import app

app.sweeper = replace(app.sweeper, search=tracing.TracedSearch(app.sweeper.search))
handler = tracing.capture_handler(app.handler)
