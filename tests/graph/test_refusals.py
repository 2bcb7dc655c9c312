"""Where a graph cannot be made, one sentence says why and what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from pps_torch import PanopticMerger, PanopticQuality, PanopticSegmentation, PanopticTarget
from tests.factories import instances

MERGER = PanopticMerger([7], validate=None)


def scene():
    return [torch.from_numpy(a) for a in instances(np.random.default_rng(0), (6, 8), 3, [7, 24])]


def test_tracing():
    with pytest.raises(RuntimeError, match="cannot record pps_torch; use torch.export"):
        torch.jit.trace(MERGER, tuple(scene()))


def test_vmap():
    batch = [value[None] for value in scene()]
    with pytest.raises(RuntimeError, match="give a batch as dimensions in front"):
        torch.func.vmap(MERGER)(*batch)


def test_grad():
    sem_seg, masks, scores, classes = scene()

    def total(scores):
        return MERGER(sem_seg, masks, scores, classes).scores.sum()

    with pytest.raises(RuntimeError, match="what merges and counts has no gradient"):
        torch.func.grad(total)(scores)


def counting():
    metric = PanopticQuality([{"id": 7, "name": "road", "isthing": 0}], validate=True)
    segments, ids = [{"id": 1, "category_id": 7}], torch.ones(2, 3, dtype=torch.long)
    target = PanopticTarget.from_segments(ids, segments)
    return metric.update, (PanopticSegmentation.from_segments(ids, segments), target)


def merging():
    return PanopticMerger([7], validate=True), scene()


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.8", reason="Dynamo before torch 2.8 drops messages")
@pytest.mark.parametrize("case", [counting, merging])
def test_values_cannot_be_validated_in_a_graph(case):
    call, inputs = case()
    torch.compiler.reset()
    message = re.escape("validate: expected None or False where a graph is captured, found True")
    with pytest.raises(Exception, match=message):
        torch.compile(call, backend="eager", fullgraph=True)(*inputs)
