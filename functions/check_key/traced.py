"""Entrypoint with tracing: the same, and X-Ray is told what everything took."""

from dataclasses import replace

from check_key import app
from invitations import tracing

app.key_check = replace(app.key_check, api=tracing.TracedKeyList(app.key_check.api))
handler = tracing.capture_handler(app.handler)
