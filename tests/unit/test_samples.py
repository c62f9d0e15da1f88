"""The files that `make run` sends."""

import json
from pathlib import Path

import pytest

from local.errors import CommandError
from local.samples import read_samples
from tests.documents import REPOSITORY, schema
from tests.unit.test_requests import request_of


@pytest.mark.parametrize(
    ("folder", "content", "sentence"),
    [
        ("queue", "{}".encode("utf-16"), "cannot be read as JSON in UTF-8"),
        ("bus", b" \n", "cannot be read as JSON in UTF-8"),
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


def test_sample_with_all_fields_fits_the_schema_and_does_not_expire_for_years() -> None:
    [sample] = read_samples(REPOSITORY / "events/queue/request-with-all-fields.json")
    in_2090 = 3_786_912_000

    schema("request").validate(json.loads(sample.text))
    assert (request_of(sample.text).not_after or 0) > in_2090
