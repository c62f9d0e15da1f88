"""`python -m bench [PART …]`: one page of figures beside the naive handler's."""

import sys

from local.command import run_command

sys.exit(run_command("bench", "report", sys.argv[1:]))
