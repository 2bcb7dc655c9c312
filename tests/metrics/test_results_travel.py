"""Results and comparisons that were saved, or went through other processes, are what they were."""

from __future__ import annotations

import io

import pytest
import torch

from pps_torch import BoundaryPanopticQuality, MeanIoU, PanopticSegmentation, PanopticTarget
from tests.golden.state_dicts.record import CATEGORIES, metrics, update


@pytest.mark.parametrize("name", metrics())
def test_a_result_loads_with_weights_only(name):
    metric = metrics()[name]
    update(metric)
    result, file = metric.compute(), io.BytesIO()
    torch.save(result, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == result


def empty_pair(size):
    ids = torch.zeros(size, dtype=torch.int64)
    return PanopticSegmentation.from_segments(ids, []), PanopticTarget.from_segments(ids, [])


def test_a_comparison_whose_class_ids_became_a_list_is_counted():
    metric = BoundaryPanopticQuality(CATEGORIES)
    comparison = metric.compare(*empty_pair((3, 4)))
    metric.add(comparison._replace(class_ids=list(comparison.class_ids)))


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
def test_maps_without_pixels_have_no_boundaries(size):
    assert BoundaryPanopticQuality(CATEGORIES).update(*empty_pair(size)).compute().all.n == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@pytest.mark.parametrize("ignore_label", [-1, 300])
def test_an_ignore_label_is_compared_as_a_number(dtype, ignore_label):
    """300 and -1 are 44 and 255 in uint8; those are ids of their own, here unknown ones."""
    maps = torch.tensor([[44, 255, 3, 7]], dtype=dtype)
    metric = MeanIoU(CATEGORIES, ignore_label=ignore_label)
    with pytest.raises(ValueError, match="2 pixels of target with an unknown category"):
        metric.update(maps, maps).compute()
