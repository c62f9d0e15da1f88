"""`python -m ops COMMAND …`: the Makefile's commands for a deployed stack."""

import sys

from local.command import run_command

sys.exit(run_command("ops", sys.argv[1], sys.argv[2:]))
