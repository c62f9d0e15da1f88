"""`python -m local COMMAND …`: the Makefile's commands that run on this machine alone."""

import sys

from local.command import run_command

sys.exit(run_command("local", sys.argv[1], sys.argv[2:]))
