"""What NumPy matches and counts on the CPU has the bits of the plain version."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring import class_sums, match_segments, segment_classes
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from tests.ops.twins import expect_equal


def on_host_and_not(monkeypatch, operation, *arguments, **options):
    """Both results; elsewhere than on the CPU, which the CPU is made to play, torch is called."""
    found = operation(*arguments, **options, backend="torch")
    with monkeypatch.context() as patch:
        for module in (class_sums, match_segments, segment_classes):
            patch.setattr(module, "is_on_host", lambda _: False)
        expected = operation(*arguments, **options, backend="torch")
    expect_equal(found, expected)
    return found


def summed(matches, scores, *classes, backend):
    sums = torch.full((3, 5), 7)
    class_sums.add_to_class_sums(sums, matches, scores, *classes, backend=backend)
    return sums


@pytest.mark.parametrize("last_crowd_only", [False, True])
def test_matches_and_sums(last_crowd_only, monkeypatch):
    rng = np.random.default_rng(0)
    for num_images, num_gt, num_pred in ((0, 3, 3), (3, 1, 1), (2, 9, 12), (1, 40, 3)) * 3:
        joint = rng.integers(0, 30, (num_images, num_gt, num_pred))
        joint *= rng.random(joint.shape) < 0.5
        for image in joint:
            for gt in range(1, num_gt):
                image[gt, rng.integers(num_pred)] = rng.choice([500, 2_000, 2**29])
        joint, *classes = map(
            torch.from_numpy,
            (joint, *(rng.integers(-3, 3, (num_images, n)) for n in (num_gt, num_pred))),
        )
        for table in classes:
            table[:, 0] = -1
        is_crowd = torch.from_numpy(rng.random((num_images, num_gt)) < 0.3)
        tables = pairs_of_table(joint), *classes, is_crowd
        found = on_host_and_not(
            monkeypatch, match_segments.match_segments, *tables, last_crowd_only=last_crowd_only
        )
        on_host_and_not(monkeypatch, summed, found, found.iou, *classes)


@pytest.mark.parametrize("class_ids", [[], [7], [90, 3, 7]])
def test_classes_and_those_without(class_ids, monkeypatch):
    category_ids = torch.tensor([[3, 7, -1, 90, 200, 0], [-5, 7, 7, 1 << 40, 3, 91]])
    classes = on_host_and_not(
        monkeypatch, segment_classes.segment_classes, category_ids, torch.tensor(class_ids).long()
    )
    areas = torch.arange(classes.numel()).view(classes.shape)
    on_host_and_not(monkeypatch, segment_classes.count_unclassed, classes, areas)
