"""Unusual but good input gives the same output as the usual one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.small_dataset import HEIGHT, IDS, WIDTH, SmallDataset, edit_json, save

FIRST = IDS[0]
MERGE, MERGE_TXT, PPS = "merge_to_panoptic", "merge_to_panoptic Cityscapes", "merge_to_pps"


def semantic(d, image_id=FIRST):
    return d.semantic / f"{image_id}_semantic.png"


def as_palette(d):
    image = Image.fromarray(np.array(Image.open(semantic(d))))
    image.putpalette(np.random.default_rng(0).bytes(3 * 256))
    assert image.mode == "P"
    image.save(semantic(d))


def as_16_bits(d):
    save(semantic(d), np.array(Image.open(semantic(d))).astype(np.uint16))


def as_int32_tiff(d):
    ids = np.array(Image.open(semantic(d))).astype(np.int32)
    semantic(d).unlink()
    save(semantic(d).with_suffix(".tif"), ids)


def as_uncompressed_rle(d):
    def edit(instances):
        from pps_torch.io.rle import decode_runs

        for entry in instances:
            borders = decode_runs(entry["segmentation"], (HEIGHT, WIDTH)).reshape(-1)
            counts = np.diff(borders, prepend=0, append=HEIGHT * WIDTH)
            entry["segmentation"]["counts"] = counts.tolist()

    edit_json(d.instances_json, edit)


def as_polygons(d):
    def edit(instances):
        for entry in instances:
            number = IDS.index(entry["image_id"])
            box = (4 + number, 14, 16 + number, 22) if entry["score"] > 0.5 else (22, 15, 30, 20)
            left, top, right, bottom = box
            polygon = [left, top, right, top, right, bottom, left, bottom]
            entry["segmentation"] = [polygon]

    edit_json(d.instances_json, edit)


def one_json_per_image(d):
    import json

    instances = json.loads(d.instances_json.read_text())
    d.instances_json.unlink()
    d.instances_json.mkdir()
    for image_id in IDS:
        entries = [entry for entry in instances if entry["image_id"] == image_id]
        (d.instances_json / f"{image_id}.json").write_text(json.dumps(entries))


def into_subfolders(d):
    for path in list(d.semantic.iterdir()):
        (d.semantic / "city").mkdir(exist_ok=True)
        path.rename(d.semantic / "city" / path.name)
    (d.semantic / ".hidden").mkdir()
    save(d.semantic / ".hidden" / f"{FIRST}.png", np.zeros((2, 2), np.uint8))
    save(d.semantic / f".{FIRST}.png", np.zeros((2, 2), np.uint8))


def score_null(d):
    edit_json(d.panoptic_json, lambda c: c["annotations"][0]["segments_info"][0].update(score=None))


@pytest.mark.parametrize(
    ("tool", "change"),
    [
        (PPS, score_null),
        (MERGE, as_palette),
        (MERGE, as_16_bits),
        (MERGE, as_int32_tiff),
        (MERGE, as_uncompressed_rle),
        (MERGE, as_polygons),
        (MERGE, one_json_per_image),
        (MERGE, into_subfolders),
    ],
)
def test_the_output_is_that_of_the_usual_input(tmp_path, tool, change):
    usual, unusual = SmallDataset(tmp_path / "usual"), SmallDataset(tmp_path / "unusual")
    change(unusual)
    assert usual.run(tool) == 0 and unusual.run(tool) == 0
    assert usual.written() == unusual.written()


def test_both_instance_formats_agree(tmp_path):
    coco, cityscapes = SmallDataset(tmp_path / "coco"), SmallDataset(tmp_path / "cityscapes")
    assert coco.run(MERGE) == 0 and cityscapes.run(MERGE_TXT) == 0
    assert coco.written() == cityscapes.written()


@pytest.mark.parametrize("tool", ["eval_pq", PPS])
def test_panoptic_pngs_of_grey_levels(tmp_path, tool):
    usual, grey = SmallDataset(tmp_path / "usual"), SmallDataset(tmp_path / "grey")
    for path in grey.panoptic_dir.glob("*.png"):
        colors = np.array(Image.open(path))
        assert not colors[..., 1:].any()
        save(path, colors[..., 0])
    assert usual.run(tool) == grey.run(tool) == 0
    assert usual.written() == grey.written()


@pytest.mark.parametrize("dtype, divisor", [(np.uint16, 100), (np.uint8, 100_000)])
def test_ground_truth_as_png_and_predictions_with_opaque_alpha(tmp_path, dtype, divisor):
    """Uids below 65536, which are those without parts, fit in 16 bits, those of classes in 8."""
    dataset = SmallDataset(tmp_path / "tiffs"), SmallDataset(tmp_path / "pngs")
    results = []
    for number, d in enumerate(dataset):
        for path in sorted(d.gt.iterdir()):
            uids = np.array(Image.open(path))
            uids = np.where(uids > 65535, uids // divisor, uids)
            path.unlink()
            png = path.with_suffix(".png")
            save(path, uids.astype(np.int32)) if number == 0 else save(png, uids.astype(dtype))
        for path in d.pps.iterdir():
            save(path, Image.open(path).convert("RGBA" if number else "RGB"))
        assert d.run("eval_partpq") == 0
        results.append(d.written())
    assert results[0] == results[1]


@pytest.mark.parametrize("tool", ["eval_pq", "eval_partpq", MERGE, MERGE_TXT, PPS])
def test_files_that_are_links(tmp_path, tool):
    """One rule for all commands: links are those of the folder's owner, and are followed."""
    usual, linked = SmallDataset(tmp_path / "usual"), SmallDataset(tmp_path / "linked")
    for folder in (linked.panoptic_dir, linked.pps, linked.gt, linked.semantic, linked.parts):
        moved = tmp_path / f"moved_{folder.name}"
        moved.mkdir()
        for path in list(folder.iterdir()):
            path.rename(moved / path.name)
            path.symlink_to(moved / path.name)
    assert usual.run(tool) == linked.run(tool) == 0
    assert usual.written() == linked.written()
