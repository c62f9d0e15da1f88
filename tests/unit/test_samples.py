"""The files that `make run` sends."""

from pathlib import Path

import pytest

from local.errors import CommandError
from local.samples import read_samples


@pytest.mark.parametrize(
    ("folder", "content", "sentence"),
    [
        ("queue", "{}".encode("utf-16"), "cannot be read as JSON in UTF-8"),
        ("bus", b"{", "cannot be read as JSON in UTF-8"),
        ("events", b"{}", "must be in a folder that says how to send it: queue/, bus/, invoke/"),
    ],
)
def test_file_that_cannot_be_sent_gets_a_sentence(
    tmp_path: Path, folder: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / folder / "sample.json"
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(CommandError, match=f"^{path} {sentence}"):
        read_samples(path)
