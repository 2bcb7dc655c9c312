"""Overlaps of classes by hand."""

import torch

from pps_torch.ops.scoring.class_confusion import class_confusion
from pps_torch.ops.scoring.segment_pairs import pairs_of_table


def test_by_hand():
    """Two segments of one class add up, each image alone; what has no class is in no row."""
    tables = [
        [[9, 1, 0], [2, 3, 4], [0, 5, 6], [7, 7, 7]],
        [[0, 0, 0], [0, 0, 8], [1, 0, 0], [0, 0, 0]],
    ]
    gt_class = torch.tensor([[-1, 1, 1, -3], [-1, 0, 1, -3]])
    pred_class = torch.tensor([[-1, 0, 1], [-1, 0, -2]])
    confusion = class_confusion(pairs_of_table(torch.tensor(tables)), gt_class, pred_class, 2)
    assert confusion.dtype == torch.int64
    assert confusion.tolist() == [[[0, 0, 0], [8, 10, 2]], [[0, 0, 8], [0, 0, 1]]]


def test_no_images_and_no_classes():
    pairs = pairs_of_table(torch.zeros(0, 2, 3))
    none = torch.zeros(0, 2).long(), torch.zeros(0, 3).long()
    assert class_confusion(pairs, *none, 4).shape == (0, 4, 5)
    pairs = pairs_of_table(torch.ones(1, 1, 1))
    void = torch.tensor([[-1]])
    assert class_confusion(pairs, void, void, 0).shape == (1, 0, 1)
