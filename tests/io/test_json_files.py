"""JSON files with clear errors."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from pps_torch.io.errors import InputError
from pps_torch.io.json_files import load_json, save_json


def test_round_trip(tmp_path):
    path = tmp_path / "a.json"
    save_json(path, {"a": [1, None, "ü"]})
    assert load_json(path, dict) == {"a": [1, None, "ü"]}


@pytest.mark.parametrize(
    "value",
    [
        {"images": [{"id": 1, "name": "ü"}, []], "n": {"x": [1.5, None], "y": {}}, "s": '"\\'},
        [{"a": [True]}, [], "x"],
        {1: [2], "x": {3.5: "y", None: [4]}},
        [],
        {},
        "text",
    ],
)
def test_written_as_json_writes_it(tmp_path, value):
    save_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_text() == json.dumps(value) + "\n"


@pytest.mark.parametrize("act", [load_json, lambda path: save_json(path, {"a": [{}] * 1000})])
def test_ctrl_c_is_heard_in_the_middle_of_a_long_file(tmp_path, act):
    """Where Python runs a function of ours, it looks for signals."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{}] * 1000))
    events = []
    sys.setprofile(lambda frame, event, _: events.append(event))
    try:
        act(path)
    finally:
        sys.setprofile(None)
    assert events.count("call") > 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b": }', "error at line 2, column 7"),
        (b"", "error at line 1, column 1"),
        (b"\xff\xff", "not UTF-8"),
        ("{}".encode("utf-16"), "found UTF-16 text, not UTF-8"),
        (gzip.compress(b"{}", mtime=0), "found something that gzip has compressed"),
        (b"PK\x03\x04\xff", "found a zip file"),
        (b"\x89PNG\r\n", "expected JSON, found a PNG"),
        (b"[1]", "expected an object, found \\[1\\]"),
        (b"[" * 100_000, "too deep a nesting"),
        (b"[" + b"9" * 5000 + b"]", "a number that is too long|expected an object"),
    ],
)
def test_bad_json(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_json(tmp_path / "a.json", dict)
    assert "a.json" in str(error.value)


def test_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert load_json(tmp_path / "a.json", dict) == {}


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="a.json: cannot be read: No such file"):
        load_json(tmp_path / "a.json")


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        save_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 3, "a": 1}}]'])
def test_a_key_that_is_there_twice(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="a.json: expected each key .* once, found 'a' twice"):
        load_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x1f\x8b\x08\0", "something that gzip has compressed"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16 text, not UTF-8"),
        (b'{"a": "\xff"}', "bytes that are not UTF-8 text"),
    ],
)
def test_other_encodings_are_named(tmp_path, content, found):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=f"a.json: expected JSON, found {found}"):
        load_json(tmp_path / "a.json")
