"""20,000 segments of either map in one image: time and memory grow with segments and pixels."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
)
from pps_torch.ops.scoring import contract, segment_pairs
from tests.factories import CATEGORIES
from tests.metrics.batches import panoptic_batch, part_batch
from tests.metrics.large_spec import large_spec
from tests.triton_support import needs_triton

ROWS, COLUMNS, CELL = 100, 200, 4
NUM_SEGMENTS = ROWS * COLUMNS


class LargestTensor(TorchDispatchMode):
    """The most elements of any tensor that an operation of torch has made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return made


def cells() -> torch.Tensor:
    """20,000 cells of 4 x 4 pixels, numbered from 1."""
    ids = torch.arange(1, NUM_SEGMENTS + 1).view(ROWS, COLUMNS)
    return ids.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)


def pair_of_cells() -> tuple[PanopticSegmentation, PanopticTarget]:
    """Each cell and the upper three quarters of it, two classes in turns."""
    ids, rows = cells(), torch.arange(NUM_SEGMENTS) % 2
    unused = torch.zeros(NUM_SEGMENTS)
    number = torch.tensor(NUM_SEGMENTS)
    upper = ids * (torch.arange(ROWS * CELL)[:, None] % CELL < CELL - 1)
    pred = PanopticSegmentation(upper, rows, *[unused] * 4, number)
    return pred, PanopticTarget(ids, rows, unused > 0, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "quality"),
    [
        (PanopticQuality, 3 / 4),
        (functools.partial(PanopticQuality, rules="torchmetrics"), 1),  # forgives predicted void
        (functools.partial(PanopticQuality, rules="deeplab2"), 3 / 4),
        (ModifiedPanopticQuality, 3 / 4),
        (functools.partial(BoundaryPanopticQuality, dilation_ratio=0.001), 3 / 4),
    ],
)
def test_panoptic_quality(make, quality):
    categories = [{"id": i, "name": f"class {i}", "isthing": 1} for i in range(2)]
    images, metric = pair_of_cells(), make(categories)
    with LargestTensor() as largest:
        metric.update(*images)
        records = make(categories).record_segments(*images)[0].segments
        MeanIoU(categories).add(metric.compare(*images))
    assert largest.numel <= 4 * images[0].panoptic_seg.numel()
    result = metric.compute()
    assert result.all.pq == pytest.approx(quality, abs=1e-12)
    assert [c.tp for c in result.classes.values()] == [NUM_SEGMENTS // 2] * 2
    assert len(records) == 2 * NUM_SEGMENTS and {r.verdict for r in records} == {"tp"}


@pytest.mark.slow
def test_part_panoptic_quality():
    spec, ids = large_spec(), cells()
    sids, iids = (ids - 1) % 40 + 1, (ids - 1) // 40
    parts = torch.arange(ROWS * CELL)[:, None] % CELL // 2 + 1  # two rows of each
    uids = sids * 100_000 + iids * 100 + parts
    is_upper = torch.arange(ROWS * CELL)[:, None] % CELL < CELL - 1
    pps = torch.stack([sids, iids, parts.expand_as(ids)]) * is_upper
    metric = PartPanopticQuality(spec, capacity=NUM_SEGMENTS)
    with LargestTensor() as largest:
        metric.update(pps, uids)
        records = metric.record_segments(pps, uids)[0].segments
    assert largest.numel <= 2 * 300 * NUM_SEGMENTS, "marks of each class and instance"
    # Part 1 is found, part 2 to one half; around the cell both have background.
    result = metric.compute()
    assert result.all.pq == pytest.approx((1 + 1 / 2 + (ids.numel() - 16) / (ids.numel() - 12)) / 3)
    assert sum(c.tp for c in result.classes.values()) == 2 * NUM_SEGMENTS
    assert sum(len(r.part_ious) for r in records) == 3 * NUM_SEGMENTS


MAKES = [
    *(functools.partial(PanopticQuality, CATEGORIES, rules=r) for r in ("coco", "deeplab2")),
    functools.partial(ModifiedPanopticQuality, CATEGORIES, rules="torchmetrics"),
    functools.partial(BoundaryPanopticQuality, CATEGORIES, dilation_ratio=0.1),
    functools.partial(PartPanopticQuality, EvalSpec.load("cpp_default"), capacity=20),
]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("most_cells", [pytest.param(0, marks=needs_triton), 1 << 22])
def test_lists_and_tables_leave_the_same_bits(make, most_cells, monkeypatch):
    """Where sizes may not depend on values, as the CPU is made to play."""
    rng = np.random.default_rng(0)
    expected, found = make(backend="torch"), make(backend="torch" if most_cells else "triton")
    for count in (1, 3, 0):
        if isinstance(found, PartPanopticQuality):
            image = part_batch(rng, (13, 7), count, found.spec)
        else:
            image = panoptic_batch(rng, (13, 7), count)
        expected.update(*image)
        with monkeypatch.context() as patch:
            patch.setattr(contract, "MAX_TABLE_CELLS", most_cells)
            patch.setattr(segment_pairs, "is_on_host", lambda _: False)
            found.update(*image)
    for name, state in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], state), name
