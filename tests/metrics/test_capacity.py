"""1,000 instances, 300 classes, 16 parts a class, a 4K image: nothing is a special case."""

from __future__ import annotations

import pytest
import torch

from pps_torch import (
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
)
from pps_torch.metrics.part_panoptic_quality import highest_capacity
from pps_torch.ops.scoring.contract import PixelRules
from tests.metrics.large_spec import NUM_CLASSES, large_spec

HEIGHT, WIDTH = 2160, 3840


def grid() -> torch.Tensor:
    """A map of 1,000 cells, 1..1000: 25 rows of 40, of 86 x 96 pixels each, void below them."""
    cells = torch.arange(1, 1001).view(25, 40).repeat_interleave(96, 1).repeat_interleave(86, 0)
    return torch.nn.functional.pad(cells, (0, WIDTH - 40 * 96, 0, HEIGHT - 25 * 86))


def test_panoptic_quality():
    cells = grid()
    rows = torch.arange(1000) % NUM_CLASSES
    unused = torch.zeros(1000)
    target = PanopticTarget(cells, rows, unused > 0, torch.tensor(1000))
    # The prediction ends 6 pixels early in each row of cells: IoU 80 / 86.
    pred_map = cells * (torch.arange(HEIGHT)[:, None] % 86 < 80)
    pred = PanopticSegmentation(pred_map, rows, unused > 0, *[unused] * 3, torch.tensor(1000))
    categories = [{"id": i, "name": f"class {i}", "isthing": 1} for i in range(NUM_CLASSES)]
    result = PanopticQuality(categories).update(pred, target).compute()
    assert result.summary["All"]["PQ"] == pytest.approx(80 / 86, abs=1e-12)
    assert [row["tp"] for row in result.per_class.values()] == [4] * 100 + [3] * 200


@pytest.mark.slow
def test_part_panoptic_quality():
    spec, cells = large_spec(), grid()
    inside = cells > 0
    sids, iids = (cells - 1) % NUM_CLASSES + 1, (cells - 1) % 1000
    columns = torch.arange(WIDTH) % 96 // 6 + 1  # 16 parts, 6 pixels wide
    uids = (sids * 100_000 + iids * 100 + columns) * inside
    # All parts agree but the first, of which the prediction has half as part 2.
    parts = columns + (torch.arange(WIDTH) % 96 < 3) * (columns == 1)
    pps = torch.stack([sids * inside, iids, parts.expand_as(cells)])
    metric = PartPanopticQuality(spec, capacity=1000).update(pps, uids)
    result = metric.compute()
    background, first, second, others = 1.0, 3 / 6, 6 / 9, 14.0
    expected = (background + first + second + others) / 17
    assert result.summary["PartPQ"] == pytest.approx(expected, abs=1e-12)
    assert sum(row["tp"] for row in result.per_class.values()) == 1000
    with pytest.raises(ValueError, match="1 segments of target above .*; 1 segments of pred"):
        PartPanopticQuality(spec, capacity=999).update(pps, uids).compute()


def test_a_capacity_beyond_32_bits_is_refused():
    """300 classes: 1 + 300 * (capacity + 2) keys, rounded up to 16, are at most 2**31 - 1."""
    spec = large_spec()
    highest = highest_capacity(spec)
    tables = PartPanopticQuality(spec).pixel_rules().tables
    assert max(PixelRules(tables, highest, spec.ignore_label).num_keys()) < 1 << 31
    expected = f"capacity: expected 1..{highest} for a spec of 300 classes, found {highest + 1}"
    with pytest.raises(ValueError, match=expected):
        PartPanopticQuality(spec, capacity=highest + 1)
