"""The files that `make run` sends."""

import json
from pathlib import Path

import pytest

from invitations.results import derived_request_id
from local.errors import CommandError
from local.samples import read_samples, request_ids

_EVENT = '{"detail": {"user_id": "u1", "request_id": "r1"}}'


def _file(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    path = folder / "sample.json"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_sample_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (sample,) = read_samples(_file(tmp_path / "bus", _EVENT.encode(encoding)))

    assert (sample.text, sample.document) == (_EVENT, json.loads(_EVENT))


@pytest.mark.parametrize(
    ("folder", "content", "sentence"),
    [
        ("queue", "{}".encode("utf-16"), "is not UTF-8 text"),
        ("bus", b" \n", "is empty"),
        ("bus", b"{", "is not JSON"),
        ("invoke", b"[" * 100_000, "is not JSON"),
        ("events", b"{}", "must be in a folder that says how to send it: queue/, bus/, invoke/"),
    ],
)
def test_file_that_cannot_be_sent_gets_a_sentence(
    tmp_path: Path, folder: str, content: bytes, sentence: str
) -> None:
    path = _file(tmp_path / folder, content)

    with pytest.raises(CommandError, match=sentence) as raised:
        read_samples(path)

    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_path_without_a_file_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue/queue").mkdir()

    with pytest.raises(CommandError, match="cannot be read"):
        read_samples(tmp_path / "queue/queue" / name)


def test_text_that_is_no_json_is_sent_to_the_queue(tmp_path: Path) -> None:
    (sample,) = read_samples(_file(tmp_path / "queue", b"{"))

    assert sample.document is None
    assert request_ids(sample.text, "m1") == ["m1"]


@pytest.mark.parametrize(
    ("field", "name"), [("7", "7"), ('" r1 "', " r1 "), ('" "', "m1"), ("null", "m1")]
)
def test_result_is_awaited_under_the_name_that_the_functions_read(field: str, name: str) -> None:
    assert request_ids(f'{{"user_id": "u1", "request_id": {field}}}', "m1") == [name]


@pytest.mark.parametrize(("field", "order"), [('"o1"', "o1"), ("null", "m1")])
def test_order_is_awaited_under_the_name_of_each_users_request(field: str, order: str) -> None:
    body = f'{{"user_ids": [" u1", "u2", "u1"], "request_id": {field}}}'

    expected = [derived_request_id(order, "u1"), derived_request_id(order, "u2")]
    assert request_ids(body, "m1") == expected


def test_faulty_order_is_awaited_under_its_own_name() -> None:
    assert request_ids('{"user_ids": [], "request_id": "o1"}', "m1") == ["o1"]
