"""`python -m local COMMAND …`: what stands behind the Makefile's targets."""

import importlib
import signal
import sys

from local.errors import LocalStackError
from local.processes import treat_sigterm_as_interrupt


def main(name: str, arguments: list[str]) -> int | str:
    """Run a command; returns its exit code, or what went wrong."""
    # While a command is being imported there is nothing to unwind: Ctrl-C ends it on the spot.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = importlib.import_module(f"local.{name}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    treat_sigterm_as_interrupt()
    try:
        code: int = command.main(*arguments)
    except LocalStackError as error:
        return str(error)
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    # Also when somebody's program reads along: some commands go on for hours.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # as Python makes it
    sys.exit(main(sys.argv[1], sys.argv[2:]))
