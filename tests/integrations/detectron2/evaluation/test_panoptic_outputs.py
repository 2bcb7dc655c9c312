"""Detectron2's panoptic outputs become segments with the data set's category ids."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pps_torch import PanopticQuality, PanopticSegmentation, PanopticTarget
from pps_torch.integrations.detectron2.evaluation.panoptic_outputs import (
    CategoryIds,
    read_panoptic_output,
)
from tests.factories import CATEGORIES, panoptic_pair

IDS = CategoryIds(things={0: 7, 1: 1}, stuff={1: 3, 2: 200}, label_divisor=1000)


def read(ids, infos, category_ids=IDS) -> tuple[list, list]:
    panoptic = read_panoptic_output(torch.tensor([ids]), infos, category_ids)
    return panoptic.panoptic_seg[0].tolist(), panoptic.category_ids.tolist()


def info(segment_id, category_id, **isthing):
    return {"id": segment_id, "category_id": category_id, **isthing}


@pytest.mark.parametrize(
    "ids, infos, expected",
    [
        ([0, 1, 2], [info(1, 1, isthing=True), info(2, 1, isthing=False)], ([0, 1, 2], [1, 3])),
        ([9, 0, 4], [info(9, 0, isthing=True), info(4, 2, isthing=False)], ([1, 0, 2], [7, 200])),
        ([5, 5], [info(5, 200)], ([1, 1], [200])),
        ([0, 0], [], ([0, 0], [])),
        ([3, 1], [info(3, 7)], ([1, 2], [7])),  # id 1 is not listed: a segment without row
        ([0, -1], [info(3, 7)], ([0, 2], [7])),
        ([-1, 1, 1001, 2000], None, ([0, 1, 2, 3], [7, 1, 200])),
        ([0, 1000], None, ([1, 2], [7, 1])),
    ],
)
def test_segments(ids, infos, expected):
    assert read(ids, infos) == expected


@pytest.mark.parametrize(
    "infos, category_ids, error",
    [
        ([info(1, 5, isthing=True)], IDS, r"expected thing category ids among \[0, 1\], found 5"),
        ([info(1, 0, isthing=False)], IDS, "expected stuff category ids .* found 0"),
        ([info(2, 7), info(2, 7)], IDS, r"each id once and none equal to 0, found \[2, 2\]"),
        ([info(0, 7)], IDS, "none equal to 0"),
        (None, CategoryIds({}, {}), "label_divisor: expected it"),
    ],
)
def test_wrong_segments_are_refused(infos, category_ids, error):
    with pytest.raises(ValueError, match=error):
        read([1, 2], infos, category_ids)


def test_the_input_stays_as_it_was():
    ids, infos = torch.tensor([[0, 4]]), [info(4, 0, isthing=True)]
    read_panoptic_output(ids, infos, IDS)
    assert ids.tolist() == [[0, 4]] and infos == [info(4, 0, isthing=True)]


def test_metadata_is_turned_around():
    metadata = SimpleNamespace(
        thing_dataset_id_to_contiguous_id={24: 0}, stuff_dataset_id_to_contiguous_id={7: 1}
    )
    assert CategoryIds.from_metadata(metadata) == CategoryIds({0: 24}, {1: 7}, None)
    metadata.label_divisor = 1000
    assert CategoryIds.from_metadata(metadata).label_divisor == 1000


def test_scores_are_those_of_from_segments(device):
    rng = np.random.default_rng(0)
    found, expected = (PanopticQuality(CATEGORIES).to(device) for _ in range(2))
    for _ in range(20):
        pred_ids, pred_infos, gt_ids, gt_infos = panoptic_pair(rng, (9, 14))
        target = PanopticTarget.from_segments(torch.from_numpy(gt_ids).to(device), gt_infos)
        ids = torch.from_numpy(pred_ids).to(device)
        found.update(read_panoptic_output(ids, pred_infos, IDS), target)
        expected.update(PanopticSegmentation.from_segments(ids, pred_infos), target)
    assert found.compute().as_dict() == expected.compute().as_dict()


def test_pixels_of_a_segment_that_is_not_listed_are_reported():
    ids = torch.tensor([[3, 3, 1]])
    metric = PanopticQuality(CATEGORIES)
    target = PanopticTarget.from_segments(ids, [info(3, 7), info(1, 7)])
    metric.update(read_panoptic_output(ids, [info(3, 7)], IDS), target)
    with pytest.raises(ValueError, match="1 pixels of pred with a segment id that has no row"):
        metric.compute()
