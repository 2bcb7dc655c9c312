"""The mergers in one graph: random scenes, no graph break, the same maps as eager.

Captured code takes the paths that CUDA takes, so these tests cover them on the CPU as well.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    EvalSpec,
    PanopticMerger,
    PanopticSegmentation,
    PPSMerger,
    QueryPanopticMerger,
    merge_panoptic_queries,
)
from tests.factories import boxed_instances, centers, draw, instances, queries
from tests.graph.cases import assert_same, post_process

SIZE = (9, 14)
SPEC = EvalSpec.load("cpp_default")


def masked(rng: np.random.Generator):
    return instances(rng, SIZE, 6, [7, 23, 24, 26])


def boxed(rng: np.random.Generator):
    sem_seg, _, scores, classes = masked(rng)
    return sem_seg, *boxed_instances(rng, SIZE, 6), scores, classes


def of_queries(rng: np.random.Generator):
    return queries(rng, SIZE, 6, 3)


def with_parts(rng: np.random.Generator):
    panoptic = draw(rng, np.zeros(SIZE, np.int32), range(5), 6)
    category_ids = rng.choice([7, 24, 26, 28], 4).astype(np.int64)
    none = np.zeros(4, np.int64)
    table = PanopticSegmentation(
        panoptic, category_ids, none > 0, none / 1, none, none, np.array(4)
    )
    return table, rng.integers(0, 26, SIZE)


HEURISTIC = {"score_threshold": 0.5, "overlap_threshold": 0.3, "stuff_area_limit": 9}
MERGERS = {
    "masks": (lambda: PanopticMerger([7, 23], **HEURISTIC), masked),
    "boxes": (lambda: BoxPanopticMerger([7, 23], **HEURISTIC), boxed),
    "queries": (lambda: QueryPanopticMerger([0, 1], object_mask_threshold=0.4), of_queries),
    "pps": (lambda: PPSMerger(SPEC), with_parts),
}


def batch_of(scenes, device):
    """Stacks the inputs of some scenes into a batch."""
    columns = []
    for column in zip(*scenes):
        if isinstance(column[0], tuple):
            columns.append(type(column[0])(*batch_of(column, device)))
        else:
            columns.append(torch.from_numpy(np.stack(column)).to(device))
    return columns


@pytest.mark.slow
@pytest.mark.parametrize("name", MERGERS)
def test_captured_without_a_break_and_equal_to_eager(name, device):
    make, scene = MERGERS[name]
    rng, merger = np.random.default_rng(0), make().to(device)
    torch.compiler.reset()
    captured = torch.compile(merger, backend="eager", fullgraph=True)
    for _ in range(6):
        inputs = batch_of([scene(rng) for _ in range(2)], device)
        expected, found = merger(*inputs), captured(*inputs)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
def test_a_size_that_the_graph_does_not_know_yet():
    def merge(image, class_logits, mask_logits):
        size = image.shape[-2:]
        return merge_panoptic_queries(class_logits, mask_logits, thing_ids=[0], out_size=size)

    class_logits, mask_logits = (torch.from_numpy(a) for a in of_queries(np.random.default_rng(0)))
    torch.compiler.reset()
    captured = torch.compile(merge, backend="eager", fullgraph=True, dynamic=True)
    for size in ((12, 17), (20, 31)):
        inputs = torch.zeros(size), class_logits, mask_logits
        found = captured(*inputs)
        assert found.panoptic_seg.shape == size
        assert all(torch.equal(a, b) for a, b in zip(found, merge(*inputs), strict=True))
    with pytest.raises(ValueError, match=r"^out_size: expected .*\(0, 31\)"):
        merge(torch.zeros(0, 31), class_logits, mask_logits)


@pytest.mark.slow
def test_centers_in_one_tile_and_in_many(monkeypatch, device):
    rng = np.random.default_rng(1)
    merger = CenterPanopticMerger([0, 2], nms_kernel=3, top_k=9, stuff_area_limit=5).to(device)
    for distances in (1 << 24, 100):
        monkeypatch.setattr("pps_torch.ops.painting.nearest_places._GRAPH_DISTANCES", distances)
        torch.compiler.reset()
        captured = torch.compile(merger, backend="eager", fullgraph=True)
        for _ in range(5):
            scenes = [centers(rng, SIZE, 4) for _ in range(2)]
            heads = [torch.from_numpy(np.stack(a)).to(device) for a in zip(*scenes)]
            expected, found = merger(*heads), captured(*heads)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
def test_post_processor_is_one_graph():
    torch.manual_seed(0)
    module, inputs = post_process("cpu")
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert_same(compiled(*inputs), module(*inputs))
