"""A short soak with faults of the API, of AWS and of the functions."""

from pathlib import Path

from local.chaos.plan import draw_plan
from local.chaos.run import carry_out


def test_no_promise_is_broken_during_faults(deployed_template: Path, tmp_path: Path) -> None:
    plan = draw_plan(seed=3, count=60)
    violations = carry_out(plan, tmp_path, template=deployed_template, say=print)

    assert violations == []
    assert {"table.md", "history.json", "history.png"} <= {each.name for each in tmp_path.iterdir()}
