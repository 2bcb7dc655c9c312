"""Only regular files are read, and what a shell hands over; nothing waits or never ends."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from pps_torch import reading
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_id_map, read_photo
from pps_torch.io.json_files import load_json
from pps_torch.reading import read_regular, read_text
from pps_torch.specs import EvalSpec, SpecError


def test_regular_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_regular(path) == b"\xef\xbb\xbfabc" and read_text(path, 6) == "abc"
    with pytest.raises(OSError, match="expected at most 5 bytes, found more"):
        read_text(path, 5)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_text(link) == "abc"


@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a socket", "a device"])
@pytest.mark.parametrize(
    "read", [load_json, EvalSpec.load, read_id_map, lambda path: read_photo(path, (2, 3))]
)
def test_what_is_no_regular_file(tmp_path, read, kind):
    path = tmp_path / "a"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(
        (InputError, SpecError), match="a: (cannot be read: )?expected a (regular )?file"
    ):
        read(path)


def handed_over(content: bytes) -> tuple[str, threading.Thread]:
    """The name of a stream, as a shell makes it of `<(command)`."""
    reader, writer = os.pipe()

    def write() -> None:
        with open(writer, "wb") as stream:
            stream.write(content)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return f"/dev/fd/{reader}", thread


def test_streams_of_a_shell(monkeypatch):
    name, thread = handed_over(b'{"a": 1}')
    assert load_json(name, dict) == {"a": 1}
    thread.join()
    monkeypatch.setattr(reading, "MOST_STREAM_BYTES", 100)
    name, thread = handed_over(b"[" + b"0, " * 50)
    with pytest.raises(InputError, match="/dev/fd/.*: expected at most 100 bytes, found more"):
        load_json(name)
    os.close(int(name.rpartition("/")[2]))
    thread.join()


def test_spec_from_a_stream():
    from pps_torch.specs.bundled import FOLDERS

    text = (FOLDERS["evalspec"] / "cpp_default_evalspec.yaml").read_bytes()
    name, thread = handed_over(text)
    assert EvalSpec.load(name).things == EvalSpec.load("cpp_default").things
    thread.join()


def test_link_to_itself(tmp_path):
    (tmp_path / "a.json").symlink_to("a.json")
    with pytest.raises(InputError, match="a.json: cannot be read: Too many levels"):
        load_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="a.json: cannot be read: Too many levels"):
        read_id_map(tmp_path / "a.json")
