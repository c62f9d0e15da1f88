"""Runs one command of a package: the part that `python -m local` and `python -m ops` share."""

import importlib
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from local.errors import CommandError
from local.processes import treat_ends_as_interrupt


def run_command(package: str, name: str, arguments: list[str]) -> int | str:
    """Run `main` of the module PACKAGE.NAME; returns its exit code or its error's message."""
    # Some commands apply rules of the functions.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "functions"))
    # Some commands run for hours, and another program may read their output from a pipe. The
    # terminal's encoding may lack a character.
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(line_buffering=True, errors="backslashreplace")
    # The import has nothing to clean up, so Ctrl-C may end the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = importlib.import_module(f"{package}.{name}")
    treat_ends_as_interrupt()
    try:
        code: int = command.main(*arguments)
    except CommandError as error:
        return str(error)
    except KeyboardInterrupt:
        return 130
    return code
