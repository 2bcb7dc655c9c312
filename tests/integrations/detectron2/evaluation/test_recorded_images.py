"""What an evaluator keeps of its images, and how the shares of the processes come together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, PartPanopticQuality
from pps_torch.integrations.detectron2.evaluation.recorded_images import (
    RecordedImage,
    RecordedShare,
    check_fits_png,
    without_empty_segments,
)
from pps_torch.io import read_pps, read_rgb_ids
from pps_torch.metrics import ImageRecord, counts_by_class, record_segments
from pps_torch.pipelines.evaluation_tables import TableRecords
from tests.factories import pps_pair

SPEC = EvalSpec.load("cpp_default")
NUM_CLASSES = len(SPEC.eval_sids)
NOTHING = ImageRecord([], torch.zeros(2, 3, dtype=torch.int64))


def evaluated(num_images: int):
    """The metric, the records, and what is kept of the images by their index."""
    metric, records, images = PartPanopticQuality(SPEC), [], {}
    for index in range(num_images):
        pps, uids = map(torch.from_numpy, pps_pair(np.random.default_rng(index), (16, 24), SPEC))
        records += record_segments(metric, pps, uids)
        images[index] = RecordedImage.from_pps(records[-1], pps.clamp(max=255))
    return metric, records, images


@pytest.mark.parametrize("shares", [[[0, 1, 2, 3]], [[2, 0], [3, 1]], [[], [3, 2, 1, 0]]])
def test_shares_add_up_to_the_images_in_order(shares):
    metric, records, images = evaluated(4)
    parts = [RecordedShare.from_images({i: images[i] for i in s}, NUM_CLASSES) for s in shares]
    found, expected = RecordedShare.from_shares(parts), TableRecords(NUM_CLASSES)
    expected.add(records)
    assert list(found.segments) == list(found.segments_info) == [0, 1, 2, 3]
    assert found.table_records().segments == expected.segments
    assert np.array_equal(found.table_records().confused_pixels, expected.confused_pixels)
    segments = [segment for image in found.segments.values() for segment in image]
    counts = counts_by_class(segments, part_aware=True)
    for sid, row in metric.compute().per_class.items():
        if sid in counts:
            assert counts[sid]._asdict() == {key: row[key] for key in ("iou", "tp", "fp", "fn")}


def test_pps_maps_come_back_from_their_png(tmp_path):
    pps = torch.tensor([[[7, 26]], [[0, 255]], [[1, 5]]])
    check_fits_png(pps)
    path = tmp_path / "a.png"
    path.write_bytes(RecordedImage.from_pps(NOTHING, pps).png)
    assert np.array_equal(read_pps(path), pps.numpy())
    for wrong in (-1, 256):
        pps[1, 0, 0] = wrong
        with pytest.raises(ValueError, match="expected ids 0..255, which is what a PNG can hold"):
            check_fits_png(pps)


def panoptic(ids: list[int], categories: list[int]) -> PanopticSegmentation:
    column = torch.zeros(len(categories), dtype=torch.int64)
    return PanopticSegmentation(
        torch.tensor([ids]),
        torch.tensor(categories, dtype=torch.int64),
        *(column.bool(), column.double(), column, column, torch.tensor(len(categories))),
    )


def test_panoptic_maps_come_back_without_segments_that_have_no_pixels(tmp_path):
    kept = without_empty_segments(panoptic([3, 0, 1, 3, 3], [24, 7, 11]))
    image = RecordedImage.from_panoptic(NOTHING, kept)
    path = tmp_path / "a.png"
    path.write_bytes(image.png)
    assert read_rgb_ids(path).tolist() == [[2, 0, 1, 2, 2]]
    assert image.segments_info == [
        {"id": 1, "category_id": 24, "area": 1},
        {"id": 2, "category_id": 11, "area": 3},
    ]
    again = PanopticSegmentation.from_segments(kept.panoptic_seg, image.segments_info)
    assert again.category_ids.tolist() == kept.category_ids.tolist()


def test_ids_without_row_stay_so():
    kept = without_empty_segments(panoptic([2, -5, 99, 0], [24, 7]))
    assert kept.panoptic_seg.tolist() == [[1, 2, 2, 0]] and kept.category_ids.tolist() == [7]
    none = without_empty_segments(panoptic([0, 4], []))
    assert none.panoptic_seg.tolist() == [[0, 1]] and int(none.num_segments) == 0
