"""Pictures of maps: which files are drawn, with which colours, over which photos."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch.io.errors import InputError
from pps_torch.pipelines import RunOptions, visualize
from pps_torch.specs import EvalSpec
from pps_torch.specs.bundled import find_spec
from pps_torch.visualization import PALETTES, colorize_pps

QUIET = RunOptions(device="cpu", quiet=True)
SPEC = EvalSpec.load("cpp_default")
SIZE = (20, 30)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def pps_map(sid, pid=1):
    pps = np.zeros((*SIZE, 3), np.uint8)
    pps[...] = (7, 1, 1)
    pps[4:12, 5:20] = (sid, 1, pid)
    return pps


def color_at(path, row, column):
    return Image.open(path).getpixel((column, row))


def test_a_folder_of_pps_maps_and_uids(tmp_path):
    save(tmp_path / "maps" / "a_1_pps.png", pps_map(26, 255))
    uids = np.full(SIZE, 7, np.int32)
    uids[4:12, 5:20] = 26_000
    save(tmp_path / "maps" / "city" / "b_2_gt.tif", uids)
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    for name in ("a_1_pps_colored.png", "city/b_2_gt_colored.png"):
        path = tmp_path / "out" / name
        assert color_at(path, 7, 9) == SPEC.colors[26]
        assert color_at(path, 15, 3) == SPEC.colors[7]
        assert Image.open(path).width > SIZE[1]


def test_one_file_over_its_photo(tmp_path):
    pps = pps_map(26, 255)
    pps[-3:] = (255, 0, 0)
    save(tmp_path / "maps" / "a_000001_pps.png", pps)
    save(tmp_path / "photos" / "a_000001_leftImg8bit.png", np.full((40, 60, 3), 200, np.uint8))
    maps = tmp_path / "maps" / "a_000001_pps.png"
    visualize("cpp_default", maps, tmp_path / "out", photos=tmp_path / "photos", options=QUIET)
    overlay = tmp_path / "out" / "a_000001_pps_overlay.png"
    expected = np.add(SPEC.colors[26], 200) / 2
    assert np.abs(np.subtract(color_at(overlay, 7, 9), expected)).max() <= 1
    assert color_at(overlay, SIZE[0] - 1, 3) == (200, 200, 200)


def test_void_is_in_the_legend_where_it_is_black(tmp_path):
    """In the legend of a map with void, and not of the overlay, which shows the photo there."""
    photo = np.full((*SIZE, 3), 200, np.uint8)
    for name in ("full", "void"):
        pps = pps_map(26, 255)
        pps[-3:] = (255, 0, 0) if name == "void" else pps[-3:]
        save(tmp_path / "maps" / f"{name}.png", pps)
        save(tmp_path / "photos" / f"{name}.png", photo)
    photos = tmp_path / "photos"
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", photos=photos, options=QUIET)

    def legend(name):
        picture = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        return picture[:, SIZE[1] :]  # beside the map or photo

    assert not np.array_equal(legend("full_colored"), legend("void_colored"))
    assert np.array_equal(legend("full_colored"), legend("full_overlay"))
    assert np.array_equal(legend("full_overlay"), legend("void_overlay"))


def test_palette(tmp_path):
    save(tmp_path / "maps" / "a.png", pps_map(26, 255))
    folder, json_file = coco(tmp_path, category_id=26)
    for palette, panoptic_json in itertools.product(PALETTES, (None, json_file)):
        maps = tmp_path / "maps" if panoptic_json is None else folder
        out = tmp_path / f"{palette}_{maps.name}"
        visualize(
            "cpp_default", maps, out, panoptic_json=panoptic_json, palette=palette, options=QUIET
        )
        expected = SPEC.colors[26] if palette == "class" else (0, 114, 178)
        assert color_at(out / "a_colored.png", 7, 9) == expected
    with pytest.raises(InputError, match="^palette: expected one of .* found 'gray'"):
        visualize("cpp_default", tmp_path / "maps", tmp_path / "o", palette="gray", options=QUIET)


def test_another_palette_does_not_resume(tmp_path):
    save(tmp_path / "maps" / "a.png", pps_map(26))
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    with pytest.raises(InputError):
        visualize(
            "cpp_default", tmp_path / "maps", tmp_path / "out", palette="colorblind", options=QUIET
        )


def test_files_have_the_pictures_of_tensors(tmp_path):
    save(tmp_path / "maps" / "a.png", pps_map(26, 3))
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    picture = np.array(Image.open(tmp_path / "out" / "a_colored.png"))[: SIZE[0], : SIZE[1]]
    pps = torch.from_numpy(pps_map(26, 3)).permute(2, 0, 1)
    assert np.array_equal(picture, colorize_pps(pps, SPEC).permute(1, 2, 0).numpy())


def test_unknown_ids_are_void_and_counted(tmp_path, capsys):
    save(tmp_path / "maps" / "a.png", pps_map(99))
    save(tmp_path / "maps" / "b.png", pps_map(26, 77))
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    assert color_at(tmp_path / "out" / "a_colored.png", 7, 9) == (0, 0, 0)
    assert color_at(tmp_path / "out" / "b_colored.png", 7, 9) == SPEC.colors[26]
    assert "99 (120 pixels)" in capsys.readouterr().err


@pytest.mark.parametrize("is_panoptic", [True, False])
def test_panoptic_pngs_without_their_json_get_a_hint(tmp_path, capsys, is_panoptic):
    """Most of their red levels are no classes; a PPS map has a few at most."""
    pps = np.full((*SIZE, 3), (128, 64, 128), np.uint8) if is_panoptic else pps_map(99)
    save(tmp_path / "maps" / "a.png", pps)
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    hint = "if these are panoptic PNGs, whose colours are segment ids, their JSON is needed"
    assert (f"{hint} as panoptic_json" in capsys.readouterr().err) == is_panoptic


def test_void_ids_are_no_surprise(tmp_path, capsys):
    """Scene 0 and 255 are void without a warning, as in an evaluation."""
    for sid in (0, 255):
        save(tmp_path / "maps" / f"{sid}.png", pps_map(sid))
    visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    for sid in (0, 255):
        assert color_at(tmp_path / "out" / f"{sid}_colored.png", 7, 9) == (0, 0, 0)
    assert capsys.readouterr().err == ""


def test_ids_above_255_are_drawn_where_a_map_can_hold_them(tmp_path, capsys):
    """Not in a PPS PNG, whose 255 is then void or unknown, as it is not the label of void."""
    text = find_spec("cpp_default", "evalspec").read_text()
    text = text.replace("33: bicycle", "300: bicycle").replace("33: 33", "33: 300")
    text = text.replace("33]", "300]").replace("ignore_label: 255", "ignore_label: 400")
    spec_file = tmp_path / "high_evalspec.yaml"
    spec_file.write_text(text)
    uids = np.full(SIZE, 33, np.int32)
    uids[:4] = 0
    save(tmp_path / "maps" / "a.tif", uids)
    save(tmp_path / "maps" / "b.png", pps_map(26, 255))
    save(tmp_path / "maps" / "c.png", pps_map(99))
    visualize(spec_file, tmp_path / "maps", tmp_path / "out", options=QUIET)
    drawn = {name: tmp_path / "out" / f"{name}_colored.png" for name in "abc"}
    assert color_at(drawn["a"], 7, 9) == SPEC.colors[33]
    assert color_at(drawn["b"], 7, 9) == SPEC.colors[26]
    assert color_at(drawn["c"], 7, 9) == color_at(drawn["a"], 1, 9) == (0, 0, 0)
    assert "99 (120 pixels)" in capsys.readouterr().err


def coco(tmp_path, **segment):
    ids = np.zeros((*SIZE, 3), np.uint8)
    ids[4:12, 5:20, 0] = 5
    save(tmp_path / "panoptic" / "a.png", ids)
    segments = [{"id": 5, "category_id": 1, **segment}]
    annotations = [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]
    categories = [{"id": 1, "name": "thing", "isthing": 1, "color": [10, 200, 30]}]
    content = {"annotations": annotations, "categories": categories}
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    return tmp_path / "panoptic", tmp_path / "panoptic.json"


def test_coco_panoptic_with_the_categories_of_a_json(tmp_path):
    folder, json_file = coco(tmp_path)
    for maps in (folder, folder / "a.png"):
        out = tmp_path / f"out_{maps.name}"
        visualize(json_file, maps, out, panoptic_json=json_file, options=QUIET)
        assert color_at(out / "a_colored.png", 7, 9) == (10, 200, 30)
        assert color_at(out / "a_colored.png", 15, 3) == (0, 0, 0)


def test_coco_panoptic_with_the_classes_of_a_spec(tmp_path):
    folder, json_file = coco(tmp_path, category_id=26)
    visualize("cpp_default", folder, tmp_path / "out", panoptic_json=json_file, options=QUIET)
    assert color_at(tmp_path / "out" / "a_colored.png", 7, 9) == SPEC.colors[26]


def test_unknown_category(tmp_path):
    folder, json_file = coco(tmp_path, category_id=2)
    with pytest.raises(InputError, match="image 1: segment 5: .* found 2"):
        visualize(json_file, folder, tmp_path / "out", panoptic_json=json_file, options=QUIET)


def test_output_inside_the_folder_of_maps_is_not_drawn_again(tmp_path):
    save(tmp_path / "a.png", pps_map(26))
    for _ in range(2):
        visualize("cpp_default", tmp_path, tmp_path / "out", options=QUIET)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a_colored.png", ".pps_torch_visualize.jsonl", ".pps_torch_lock"}


def test_no_maps(tmp_path):
    (tmp_path / "maps").mkdir()
    with pytest.raises(InputError, match="expected maps .* found none"):
        visualize("cpp_default", tmp_path / "maps", tmp_path / "out", options=QUIET)
    with pytest.raises(InputError, match="x.png: expected an image, found no such file"):
        visualize("cpp_default", tmp_path / "x.png", tmp_path / "out", options=QUIET)
    assert not (tmp_path / "out").exists()
