"""A short soak with faults of the API, of AWS and of the functions, whose processes are killed."""

import json
from pathlib import Path

from rich.console import Console

from local.chaos.plan import draw_plan
from local.chaos.run import carry_out


def test_no_promise_is_broken_during_faults(tmp_path: Path) -> None:
    violations = carry_out(draw_plan(seed=3, count=60), tmp_path, Console())

    history = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert violations == []
    assert history["killed_workers"] > 0
    assert history["aws_faults"]
    assert (tmp_path / "history.png").exists()
