"""Ids that the spec does not have are void; one warning counts them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.pipelines import eval_partpq
from pps_torch.pipelines.running.unknown_ids import UnknownClasses
from pps_torch.specs import EvalSpec
from tests.cli.small_dataset import BUILDING, CAR, IDS, PERSON, ROAD, SmallDataset, save

FIRST = IDS[0]


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path)


def semantic(d, image_id=FIRST):
    return d.semantic / f"{image_id}_semantic.png"


def test_unknown_ids_are_void_and_counted_once(dataset, capsys):
    for image_id in IDS:
        ids = np.array(Image.open(semantic(dataset, image_id)))
        ids[0, :7] = 99
        save(semantic(dataset, image_id), ids)
    assert dataset.run("merge_to_panoptic") == 0
    message = capsys.readouterr().err
    assert (
        message.startswith("warning: 21 of 2880 pixels of the semantic maps (0.7 %)")
        and "99 (21" in message
    )
    assert "indices" not in message
    png = np.array(Image.open(dataset.output / "panoptic" / f"{FIRST}_photo.png"))
    assert (png[0, :7] == 0).all() and (png[0, 7] > 0).any()


def test_train_ids_are_recognised(dataset, capsys):
    for image_id in IDS:
        ids = np.array(Image.open(semantic(dataset, image_id)))
        save(semantic(dataset, image_id), np.where(ids == ROAD, 0, 2).astype(np.uint8))
    assert dataset.run("merge_to_panoptic") == 0
    message = capsys.readouterr().err
    assert (
        "these look like class indices 0..18 (train ids), expected the ids of cpp_default, such"
        in (message)
    )


def test_class_indices_that_are_all_known_are_recognised():
    """Where the ids are 1..C, indices are ids, too: each class is taken for its neighbour."""
    spec = replace(EvalSpec.load("cpp_default"), scene_labels={1: "road", 2: "car", 3: "tree"})
    counted = UnknownClasses("the semantic maps", spec)
    counted.add(counted.examine(np.array([[0, 1, 2, 255]], np.uint8)))
    assert counted.warning() == (
        "1 of 4 pixels of the semantic maps (25.0 %) have id 0, which is void, and none has an id "
        "above 2: if these are class indices 0..2 (train ids), map them to the ids of "
        "cpp_default, such as 1 for road"
    )
    for ids in ([[0, 1, 3]], [[1, 2, 255]], [[0, 255]]):
        counted = UnknownClasses("the semantic maps", spec)
        counted.add(counted.examine(np.array(ids, np.uint8)))
        assert counted.warning() is None


@pytest.mark.parametrize("tool", ["merge_to_panoptic", "merge_to_panoptic Cityscapes"])
def test_scores_in_per_cent_are_warned_of(dataset, capsys, tool):
    entries = json.loads(dataset.instances_json.read_text())
    for entry in entries:
        entry["score"] *= 100
    dataset.instances_json.write_text(json.dumps(entries))
    for path in dataset.instances_txt.glob("*.txt"):
        path.write_text(path.read_text().replace(" 0.9", " 90.0"))
    assert dataset.run(tool) == 0
    count = "6 of 6" if tool == "merge_to_panoptic" else "3 of 6"
    percent = "100.0" if tool == "merge_to_panoptic" else "50.0"
    assert (
        f"{count} instances ({percent} %) have scores above 1, the highest is 90; expected "
        "confidences 0..1" in capsys.readouterr().err
    )


def test_good_scores_are_not_warned_of(dataset, capsys):
    assert dataset.run("merge_to_panoptic") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("low", [True, False])
def test_panoptic_pngs_in_place_of_pps_pngs(dataset, capsys, low):
    """Ids that are low, and are scene classes by chance, and ids that are not."""
    for path in dataset.pps.glob("*.png"):
        segments = np.array(Image.open(dataset.panoptic_dir / path.name)).astype(int)
        red = np.choose(segments[..., 0], [0, 7, 8, 11]) if low else 100 + segments[..., 0]
        save(path, np.stack([red, 0 * red, 0 * red + (not low)], 2).astype(np.uint8))
    assert dataset.run("eval_partpq") == 0
    message = capsys.readouterr().err
    assert "the predictions look like panoptic PNGs, whose colours are segment ids: " in message
    found = "no pixel of any map has an instance" if low else "100.0 % of the pixels have a red"
    assert found in message and "merge_to_pps makes of them" in message


@pytest.mark.parametrize("tool", ["eval_pq", "merge_to_pps"])
def test_categories_with_other_names_are_warned_of(dataset, capsys, tool):
    content = json.loads(dataset.panoptic_json.read_text())
    for category in content["categories"]:
        category["name"] = {CAR: "tree", ROAD: " Road", BUILDING: "building"}[category["id"]]
    path = dataset.folder / "renamed.json"
    path.write_text(json.dumps(content))
    words = dataset.arguments(tool)
    if tool == "eval_pq":
        words[words.index("--pred_json_file") + 1] = str(path)
        words += ["--pred_folder", str(dataset.panoptic_dir)]
    else:
        words[words.index(str(dataset.panoptic_json))] = str(path)
    assert main(words) == 0
    source = "cpp_default" if tool == "merge_to_pps" else dataset.panoptic_json
    assert (
        f"warning: 3 of 9 predicted segments (33.3 %) have a category that {path} names otherwise "
        f"than {source}: 26 is 'tree' there and 'car' here; ids are compared"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("tool", ["eval_pq", "merge_to_pps", "eval_partpq"])
def test_files_that_agree_are_not_warned_of(dataset, capsys, tool):
    assert dataset.run(tool) == 0
    assert "warning" not in capsys.readouterr().err


def test_unknown_parts_and_classes_of_a_pps_map(dataset, capsys):
    path = dataset.pps / f"{FIRST}_photo.png"
    pps = np.array(Image.open(path))
    pps[0, :3] = (98, 1, 1)
    pps[15, 6:8, 2] = 77
    save(path, pps)
    assert dataset.run("eval_partpq") == 0
    messages = capsys.readouterr().err
    assert "98 (3 pixels)" in messages and "26_77 (2 pixels)" in messages


@pytest.mark.parametrize(
    ("sid", "pid", "warns"),
    [(CAR, 5, False), (CAR, 0, False), (CAR, 255, False), (CAR, 6, True), (PERSON, 5, True)]
    + [(ROAD, 9, False), (98, 9, False)],
)
def test_parts_are_known_or_not_to_the_class_of_their_pixel(dataset, capsys, sid, pid, warns):
    """Those of classes without parts do not count, so there is nothing to warn of."""
    path = dataset.pps / f"{FIRST}_photo.png"
    pps = np.array(Image.open(path))
    pps[15, 6:8] = (sid, 1, pid)
    save(path, pps)
    assert dataset.run("eval_partpq") == 0
    messages = capsys.readouterr().err
    assert ("of the predicted parts" in messages) == warns
    assert (f"wrong label: {sid}_{pid:02d} (2 pixels)" in messages) == warns


def test_unknown_parts_of_a_part_map(dataset, capsys):
    path = dataset.parts / f"{FIRST}_parts.png"
    parts = np.array(Image.open(path))
    parts[15, 6:8] = 200
    save(path, parts)
    assert dataset.run("merge_to_pps") == 0
    assert "200 (2 pixels)" in capsys.readouterr().err


def test_parts_of_the_ground_truth_that_the_data_set_does_not_have(dataset, capsys):
    """By position, as Panoptic-PartFormer calls it, the fifth argument is save_dir."""
    path = next(dataset.gt.rglob(f"{FIRST}*"))
    uids = np.array(Image.open(path))
    uids[0, :5] = CAR * 100_000 + 109
    save(path, uids)
    folders = ("cpp_default", dataset.gt, dataset.pps, dataset.images_json, dataset.output)
    eval_partpq(*folders)
    assert (dataset.output / "cpp_default_results.json").is_file()
    message = (
        "warning: 5 of 2880 pixels of the parts of the ground truth (0.2 %) have ids that "
        "Cityscapes Panoptic Parts does not know and are undefined, pixels that PartPQ leaves "
        "out: 26_09 (5 pixels)"
    )
    assert message in capsys.readouterr().err
