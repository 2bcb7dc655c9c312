"""Which file belongs to which image."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from pps_torch.io.errors import InputError
from pps_torch.io.pairing import (
    _named,
    cityscapes_id,
    find_files,
    find_photos,
    ground_truth_files,
    ground_truth_suffixes,
    list_files,
    pascal_id,
)


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("42", "42.png"),
        ("42", "000042.png"),
        ("0", "0000.png"),
        ("42", "pred_0042_semantic.png"),
        ("2008_000008", "2008_000008.png"),
        ("2008_000008", "pps-2008_000008-v2.PNG"),
        ("aachen_000012_000019", "aachen_000012_000019_gtFine_leftImg8bit.png"),
        ("aachen_000012_000019", "aachen/deep/aachen_000012_000019.png"),
        ("aachen_12_19", "aachen_000012_000019.png"),
        ("a-b", "x.a-b.y.png"),
        ("münchen", "foto_münchen.png"),
    ],
)
def test_name_contains_the_id(tmp_path, image_id, name):
    make(tmp_path, name, "other_file.png", "another.txt")
    assert find_files(tmp_path, [image_id], (".png",), "maps") == {image_id: tmp_path / name}


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("42", "420.png"),
        ("42", "142.png"),
        ("42", "v42.png"),
        ("42", "42b.png"),
        ("a_b", "xa_b.png"),
        ("a_b", "a_bc.png"),
        ("a_b", "a-b.png"),
        ("a_b", "a_x_b.png"),
        ("42", ".42.png"),
        ("42", ".hidden/42.png"),
        ("42", "42.txt"),
        ("42", "42/other.png"),
    ],
)
def test_name_does_not_contain_the_id(tmp_path, image_id, name):
    make(tmp_path, name)
    with pytest.raises(InputError, match=f"image {image_id}: no file"):
        find_files(tmp_path, [image_id], (".png",), "maps")


def test_one_error_lists_every_image(tmp_path):
    make(tmp_path, "a.png", "b_1.png", "b_2.png", "sub/b.png", "c_d.png")
    with pytest.raises(InputError) as error:
        find_files(tmp_path, ["a", "b", "missing", "c", "d"], (".png",), "part prediction")
    message = str(error.value)
    assert "part prediction" in message and "3 not so" in message
    assert "image b: 3 files (b_1.png, b_2.png, sub/b.png)" in message
    assert "image missing: no file" in message
    assert "c_d.png: the file of images c, d" in message
    assert "image a:" not in message


def test_long_lists_are_cut(tmp_path):
    with pytest.raises(InputError, match="100 not so: image 0: .*image 19: no file; and 80 more$"):
        find_files(tmp_path, [str(number) for number in range(100)], (".png",), "maps")


def test_ids_that_no_name_can_tell_apart(tmp_path):
    with pytest.raises(InputError, match="image ids a_1 and a_01"):
        find_files(tmp_path, ["a_1", "a_01"], (".png",), "maps")


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="expected the folder .* found nothing"):
        find_files(tmp_path / "nothing", ["a"], (".png",), "maps")
    make(tmp_path, "file")
    with pytest.raises(InputError, match="found a file"):
        find_files(tmp_path / "file", ["a"], (".png",), "maps")


def test_linked_folders_are_walked_once(tmp_path):
    make(tmp_path, "real/a.png")
    folder = make(tmp_path, "maps/x.png") / "maps"
    (folder / "link").symlink_to(tmp_path / "real")
    (folder / "loop").symlink_to(folder)
    assert find_files(folder, ["a"], (".png",), "maps") == {"a": folder / "link" / "a.png"}


def count_calls(function, *arguments):
    """How many functions, of Python and of C, a call of a function calls."""
    events = []
    sys.setprofile(lambda _, event, __: events.append(event))
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return events.count("call") + events.count("c_call")


def test_work_grows_with_the_files_not_with_files_times_images(tmp_path):
    """Four times the images and files: four times the calls, not sixteen times."""
    calls = []
    for count in (50, 200):
        ids = [f"city_{number:06d}_{number % 7:06d}" for number in range(count)]
        folder = make(tmp_path / str(count), *(f"{i}_gtFine_leftImg8bit_a_b.png" for i in ids))
        calls.append(count_calls(find_files, folder, ids, (".png",), "maps"))
    assert calls[1] < 5 * calls[0]


def test_the_names_are_not_gone_through_for_each_file(tmp_path):
    class Names(dict):
        walks = 0

        def __iter__(self):
            self.walks += 1
            return super().__iter__()

    names = Names.fromkeys(f"street_{number}" for number in range(20))
    make(tmp_path, *(f"{name}_semantic.png" for name in names))
    names.walks = 0
    assert len(list(_named(tmp_path, (".png",), names, None))) == 20
    assert names.walks == 1


def test_list_files_is_sorted_and_visible(tmp_path):
    make(tmp_path, "b.png", "a.png", "z/a.PNG", ".x.png", "c.txt")
    names = [str(path.relative_to(tmp_path)) for path in list_files(tmp_path, (".png",))]
    assert names == ["a.png", "b.png", "z/a.PNG"]


@pytest.mark.parametrize(
    ("map_name", "photo"),
    [
        ("aachen_000012_000019_gtFinePanopticParts.tif", "aachen_000012_000019_leftImg8bit.png"),
        ("aachen_000012_000019_gtFine_leftImg8bit.png", "aachen_000012_000019_leftImg8bit.png"),
        ("000000000042.png", "42.jpg"),
        ("street_a_pps.png", "street_a.jpg"),
        ("street_a.png", "street_a.jpg"),
    ],
)
def test_photo_of_a_map(tmp_path, map_name, photo):
    others = ("aachen_000012_000020_leftImg8bit.png", "street_b.jpg", "43.jpg", "notes.txt")
    make(tmp_path, photo, *others)
    path = tmp_path / "maps" / map_name
    assert find_photos(tmp_path, [path]) == {path: tmp_path / photo}


@pytest.mark.parametrize("photo", ["aachen_000012_000018_leftImg8bit.png", "street_b.png"])
def test_no_photo_of_another_image(tmp_path, photo):
    make(tmp_path, photo)
    for name in ("aachen_000012_000019_pps.png", "street_a.png"):
        with pytest.raises(InputError, match=f"map {name}: no file"):
            find_photos(tmp_path, [tmp_path / name])


def test_ground_truth(tmp_path):
    with pytest.raises(
        InputError, match="gt: expected the folder of the ground truth, found nothing"
    ):
        ground_truth_files(tmp_path / "gt")
    with pytest.raises(InputError, match="expected ground-truth files .*, found none"):
        ground_truth_files(make(tmp_path, "a.txt"))
    (png,) = ground_truth_files(make(tmp_path, "a.png"))
    assert png.name == "a.png"  # beside TIFFs a PNG is something else
    make(tmp_path, "2008_000008.tiff", "ulm/ulm_1_gtFinePanopticParts.tif")
    pascal_tiff, cityscapes_tiff = ground_truth_files(tmp_path)
    assert (pascal_id(pascal_tiff), cityscapes_id(cityscapes_tiff)) == ("2008_000008", "ulm_1")
    with pytest.raises(InputError, match="8.tiff: expected a name that ends in .*Parts.tiff"):
        cityscapes_id(pascal_tiff)
    with pytest.raises(InputError, match="ulm_1.*: expected a name of PASCAL"):
        pascal_id(cityscapes_tiff)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    make(tmp_path, "a/1.png", "b/2.png")
    scandir = os.scandir

    def scan(path):
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    assert len(list_files(tmp_path, (".png",))) == 2
    monkeypatch.setattr(os, "scandir", scan)
    for act in (
        lambda: list_files(tmp_path, (".png",)),
        lambda: find_files(tmp_path, ["1", "2"], (".png",), "maps"),
        lambda: find_photos(tmp_path, [Path("1.png")]),
    ):
        with pytest.raises(InputError, match="b: cannot be read: Permission denied"):
            act()


def test_a_folder_with_the_ending_of_a_file_is_an_error(tmp_path):
    make(tmp_path, "1.tif", "2.tif/3.txt")
    with pytest.raises(InputError, match="2.tif: expected a file, found a folder"):
        ground_truth_files(tmp_path)
    make(tmp_path / "other", "1.png", ".2.png/3.txt", "2.tif/3.txt")
    assert [path.name for path in list_files(tmp_path / "other", (".png",))] == ["1.png"]


def test_ground_truth_as_png(tmp_path):
    make(tmp_path, "street_1_gtFinePanopticParts.png")
    assert ground_truth_suffixes(tmp_path) == (".png",)
    assert cityscapes_id(ground_truth_files(tmp_path)[0]) == "street_1"
    make(tmp_path, "street_1_gtFinePanopticParts.tif")
    assert ground_truth_suffixes(tmp_path) == (".tif", ".tiff")
