"""Maps of `category * divisor + instance`, and back."""

from __future__ import annotations

import pytest
import torch

from pps_torch import PanopticSegmentation

CATEGORIES = [{"id": 7, "isthing": 0}, {"id": 26, "isthing": 1}, {"id": 0, "isthing": 1}]


def segmentation(ids: list[int], categories: list[int], capacity: int = 0) -> PanopticSegmentation:
    infos = [
        {"id": place, "category_id": category, "isthing": category != 7}
        for place, category in enumerate(categories, start=1)
    ]
    rows = max(capacity, len(infos))
    return PanopticSegmentation.from_segments(torch.tensor([ids]), infos, capacity=rows)


def test_instances_are_counted_by_class_and_stuff_is_zero():
    found = segmentation([0, 1, 2, 3, 4, 5, 6], [26, 7, 26, 0, 7, 0], capacity=40)
    labels = found.to_labels(divisor=10)  # the word of encode_labels
    assert labels.tolist() == [[-1, 261, 70, 262, 1, 71, 2]] and labels.dtype == torch.int64
    batch = PanopticSegmentation(*(torch.stack([field, field]) for field in found))
    assert torch.equal(batch.to_labels(10), torch.stack([labels, labels]))
    assert segmentation([0, 0], []).to_labels(10).tolist() == [[-1, -1]]


def test_things_and_stuff_of_one_category_are_told_apart():
    """As the contiguous ids of Detectron2, where thing 0 and stuff 0 are two classes."""
    infos = [{"id": k, "category_id": 1, "isthing": k == 2} for k in (1, 2, 3)]
    found = PanopticSegmentation.from_segments(torch.tensor([[1, 2, 3]]), infos)
    assert found.to_labels(10).tolist() == [[11, 12, 13]]


def test_from_labels_reads_them():
    found = segmentation([0, 1, 2, 3, 4], [26, 7, 26, 0])
    options = {"encoding": "category_major", "divisor": 1000}
    back = PanopticSegmentation.from_labels(found.to_labels(1000), CATEGORIES, **options)
    assert torch.equal(back.to_labels(1000), found.to_labels(1000))


def test_a_divisor_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="instances: expected ids that a label holds"):
        segmentation([1, 2], [26, 26]).to_labels(2)
    with pytest.raises(ValueError, match="divisor: expected"):
        segmentation([1, 2], [26, 26]).to_labels(0)


def test_values_are_looked_at_as_validate_says():
    too_many = segmentation([1, 2], [26, 26])
    assert too_many.to_labels(2, validate=False).tolist() == [[53, 54]]
    no_row = segmentation([1], [26])._replace(panoptic_seg=torch.tensor([[1, 5]]))
    assert no_row.to_labels(10, validate=False).tolist() == [[261, -1]]
    with pytest.raises(ValueError, match="^panoptic_seg: expected ids with a row .*, found 5"):
        no_row.to_labels(10, validate=True)
