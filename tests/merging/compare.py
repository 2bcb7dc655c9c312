"""Comparison of a merge's result with an oracle's map and list of segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PanopticSegmentation


def images_of(result: PanopticSegmentation) -> list[PanopticSegmentation]:
    """The images of a result with any batch dimensions, in order."""
    batch = result.num_segments.shape
    fields = [f.reshape(batch.numel(), *f.shape[len(batch) :]) for f in result]
    return [PanopticSegmentation(*image) for image in zip(*fields)]


def expect_segmentation(
    found: PanopticSegmentation, panoptic: np.ndarray, segments: list[dict], *, capacity: int
) -> None:
    """One image: the same map bit by bit, the same table, and marked unused rows."""
    count = len(segments)
    assert found.panoptic_seg.dtype == torch.int32
    assert np.array_equal(found.panoptic_seg.cpu().numpy(), panoptic)
    assert found.num_segments.item() == count
    assert found.category_ids.tolist() == column(segments, "category_id", -1, capacity)
    assert found.areas.tolist()[:count] == column(segments, "area", 0, count)
    assert found.is_thing.tolist()[:count] == column(segments, "isthing", False, count)
    sources = [s["source"] if s["isthing"] else -1 for s in segments]
    assert found.source.tolist()[:count] == sources
    scores = column(segments, "score", 0.0, count)
    assert found.scores.tolist()[:count] == pytest.approx(scores, abs=1e-6)
    for area, segment_id in zip(found.areas.tolist(), range(1, count + 1)):
        assert area == np.sum(panoptic == segment_id)


def column(segments: list[dict], key: str, fill, length: int) -> list:
    values = [segment.get(key, fill) for segment in segments]
    return values + [fill] * (length - len(values))
