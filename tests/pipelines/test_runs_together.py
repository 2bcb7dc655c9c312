"""Images that are counted together count as each of them does alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pps_torch import PanopticQuality, PanopticSegmentation, PanopticTarget
from pps_torch.io.coco_panoptic import PanopticAnnotation
from pps_torch.io.image_runs import distinct_ids
from pps_torch.pipelines.runs_together import ImageRuns, WaitingImages, count_images
from tests.factories import CATEGORIES, panoptic_pair


def annotation(segments_info):
    return PanopticAnnotation("a", Path("a.png"), segments_info, "a.json: image a")


def runs_of(pred_ids, pred_infos, gt_ids, gt_infos, **options):
    (pred, target), lengths = distinct_ids(pred_ids, gt_ids)
    return ImageRuns(
        pred_infos,
        gt_infos,
        annotation(pred_infos).number_runs(pred, lengths),
        annotation(gt_infos).number_runs(target, lengths, **options),
        lengths,
    )


@pytest.mark.parametrize("rules", ["coco", "panopticapi", "torchmetrics", "deeplab2"])
def test_a_batch_counts_as_its_images_do(rules):
    rng, misfits = np.random.default_rng(0), rules == "panopticapi"
    together, alone = (PanopticQuality(CATEGORIES, rules=rules, validate=True) for _ in range(2))
    images = []
    for height, width in ((1, 1), (5, 3), (8, 9), (1, 20), (7, 7)):
        pred_ids, pred_infos, gt_ids, gt_infos = panoptic_pair(rng, (height, width))
        if misfits:
            gt_infos = [*gt_infos[1:], {"id": 12345, "category_id": 7}]
        images.append(runs_of(pred_ids, pred_infos, gt_ids, gt_infos, allow_misfits=misfits))
        alone.update(
            PanopticSegmentation.from_segments(torch.from_numpy(pred_ids), pred_infos),
            PanopticTarget.from_segments(torch.from_numpy(gt_ids), gt_infos, allow_misfits=misfits),
        )
    count_images(together, images)
    count_images(together, [])
    assert torch.equal(together.class_sums, alone.class_sums)


def test_runs_are_numbered_as_listed():
    segments = annotation([{"id": 9, "category_id": 1}, {"id": 0, "category_id": 1}])
    numbers = segments.number_runs(np.array([9, 0, 9]), np.array([1, 2, 3]))
    assert numbers.tolist() == [1, 2, 1]  # with a segment 0 there is no void
    segments = annotation([{"id": 9, "category_id": 1}, {"id": 4, "category_id": 1}])
    numbers = segments.number_runs(np.array([4, 0]), np.array([1, 2]), allow_misfits=True)
    assert numbers.tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"no pixel in the map: \[9\]"):
        segments.number_runs(np.array([4, 0]), np.array([1, 2]))
    with pytest.raises(ValueError, match=r"not listed: \[5\]"):
        segments.number_runs(np.array([4, 5, 9]), np.array([1, 2, 3]))
    odd = annotation([{"id": 9, "category_id": 1, "isthing": 2}])
    with pytest.raises(ValueError, match=r"segments_info\[0\]: isthing: expected 0 or 1, found 2"):
        odd.number_runs(np.array([9]), np.array([1]))


def test_images_wait_until_there_are_enough():
    waiting = WaitingImages()
    image = runs_of(np.zeros((1, 1), np.int32), [], np.zeros((1, 1), np.int32), [])
    assert [len(waiting.add(image)) for _ in range(33)] == [0] * 31 + [32, 0]
    assert len(waiting.take()) == 1 and waiting.take() == []


def test_a_long_image_does_not_wait():
    waiting = WaitingImages()
    image = runs_of(np.zeros((1, 1), np.int32), [], np.zeros((1, 1), np.int32), [])
    listed = image._replace(target_infos=[{"id": 1, "category_id": 7}] * 40_000)
    assert waiting.add(image) == [] and waiting.add(listed) == [listed]
    assert waiting.take() == [image]
