"""Wires the real adapters to the check, which the other functions do not load."""

import os
import time

from invitations.bootstrap import Parts
from invitations.config import Config
from invitations.key_check import KeyCheck


def build_key_check() -> KeyCheck:
    """Raises ConfigurationError."""
    parts = Parts.of(Config.from_environment(os.environ))
    return KeyCheck(parts.caller, parts.api, time.time)
