"""Ids that the spec does not have are void; one warning counts them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.small_dataset import CAR, IDS, PERSON, ROAD, SmallDataset, save

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
    assert message.startswith("warning: 21 pixels of the semantic maps") and "99 (21" in message
    assert "train ids" not in message
    png = np.array(Image.open(dataset.output / "panoptic" / f"{FIRST}_photo.png"))
    assert (png[0, :7] == 0).all() and (png[0, 7] > 0).any()


def test_train_ids_are_recognised(dataset, capsys):
    for image_id in IDS:
        ids = np.array(Image.open(semantic(dataset, image_id)))
        save(semantic(dataset, image_id), np.where(ids == ROAD, 0, 2).astype(np.uint8))
    assert dataset.run("merge_to_panoptic") == 0
    assert "look like Cityscapes train ids" in capsys.readouterr().err


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
