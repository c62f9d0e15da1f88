"""docs/parameters.md says what the template says."""

import re

from tests.infrastructure.template import PARAMETERS, REPOSITORY

_IN_WORDS = {"": "empty", "https://api.partoo.co/v2": "production"}


def test_lists_every_parameter_with_its_default() -> None:
    page = (REPOSITORY / "docs/parameters.md").read_text(encoding="utf-8")
    listed = {
        name: default
        for names, defaults in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", page, re.MULTILINE)
        for name, default in zip(
            names.replace("`", "").split(", "),
            defaults.replace("`", "").split(", ") * len(names.split(", ")),
            strict=False,
        )
    }

    assert listed == {
        name: _IN_WORDS.get(str(each["Default"]), str(each["Default"]))
        for name, each in PARAMETERS.items()
    }
