"""Files that appear complete or not at all."""

from __future__ import annotations

import os

import pytest

from pps_torch.io.atomic import make_folder, remove_temporary_files, write_file
from pps_torch.io.errors import InputError


def test_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_file(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_file_mode_is_the_users(tmp_path):
    write_file(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_no_folder_to_write_to(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_file(tmp_path / "nothing" / "a", b"")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be created"):
        make_folder(tmp_path / "file" / "folder")


def test_temporary_files_are_removed(tmp_path):
    (tmp_path / ".a.png.1.2.pps_torch_tmp").touch()
    (tmp_path / ".keep").touch()
    remove_temporary_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".keep"]
