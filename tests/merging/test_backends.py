"""The mergers with Triton give what they give with torch; a backend that cannot run says why."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import (
    BoxPanopticMerger,
    PanopticMerger,
    PPSMerger,
    PPSPostProcessor,
    QueryPanopticMerger,
    merge_panoptic,
    merge_panoptic_boxes,
    merge_panoptic_queries,
    merge_pps,
)
from pps_torch.ops import backend as backends
from tests.factories import BATCH_SHAPES, boxed_instances, draw, instances, queries
from tests.merging.scenes import SPEC, heads, stack_segmentations
from tests.triton_support import needs_triton

pytestmark = needs_triton
SIZE = (13, 11)
SETTINGS = {"stuff_ids": [23, 7], "stuff_area_limit": 4, "overlap_threshold": 0.3}


def batch_of(scenes, batch, device):
    """Stacks the arrays of scenes; a tensor each of shape `(*batch, ...)`."""
    stacked = [np.stack(arrays) for arrays in zip(*scenes)]
    return [torch.from_numpy(a.reshape(*batch, *a.shape[1:])).to(device) for a in stacked]


def masks(rng, batch, device):
    scenes = [instances(rng, SIZE, 7, [7, 23, 24, 26]) for _ in range(int(np.prod(batch)))]
    return merge_panoptic, batch_of(scenes, batch, device), SETTINGS


def boxes(rng, batch, device):
    scenes = []
    for _ in range(int(np.prod(batch))):
        sem_seg, _, scores, classes = instances(rng, SIZE, 7, [7, 23, 24, 26])
        scenes.append((sem_seg, *boxed_instances(rng, SIZE, 7), scores, classes))
    return merge_panoptic_boxes, batch_of(scenes, batch, device), SETTINGS


def of_queries(rng, batch, device):
    scenes = [queries(rng, (6, 9), 6, 3) for _ in range(int(np.prod(batch)))]
    settings = {"thing_ids": [0], "object_mask_threshold": 0.3, "min_kept_fraction": 0.3}
    settings["out_size"] = SIZE
    return merge_panoptic_queries, batch_of(scenes, batch, device), settings


@pytest.mark.parametrize("case", [masks, boxes, of_queries])
@pytest.mark.parametrize(
    "batch", [(), *(pytest.param(b, marks=pytest.mark.slow) for b in [(2,), (2, 3)])]
)
def test_panoptic_maps_and_tables_are_equal(case, batch, device):
    rng = np.random.default_rng(len(batch))
    merge, inputs, settings = case(rng, batch, device)
    expected = merge(*inputs, **settings, backend="torch")
    found = merge(*inputs, **settings, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("case", [masks, boxes, of_queries])
def test_what_is_merged_has_no_gradient(case, backend, device):
    merge, inputs, settings = case(np.random.default_rng(0), (), device)
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    assert not any(x.requires_grad for x in merge(*inputs, **settings, backend=backend))


@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_pps_maps_are_equal(batch, device):
    rng = np.random.default_rng(0)
    num_images = int(np.prod(batch))
    maps = [draw(rng, np.zeros(SIZE, np.int32), range(5), 6) for _ in range(num_images)]
    categories = [rng.choice([24, 26, 7, 8], 4).tolist() for _ in range(num_images)]
    panoptic = stack_segmentations(maps, categories, batch, device)
    part_seg = torch.from_numpy(rng.choice([*range(25), 255], (*batch, *SIZE))).to(device)
    expected = merge_pps(panoptic, part_seg, SPEC, backend="torch")
    assert torch.equal(merge_pps(panoptic, part_seg, SPEC, backend="triton"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [(), (2,)])
def test_post_processors_are_equal(batch, device):
    inputs = [value.to(device) for value in heads(np.random.default_rng(7), batch)]
    settings = {"overlap_threshold": 0.4, "stuff_area_limit": 20}
    (panoptic, pps), (expected, expected_pps) = (
        PPSPostProcessor(SPEC, **settings, backend=backend).to(device)(*inputs, (24, 32))
        for backend in ("triton", "torch")
    )
    assert all(torch.equal(a, b) for a, b in zip(panoptic, expected, strict=True))
    assert torch.equal(pps, expected_pps)


def test_triton_that_cannot_run_says_why(monkeypatch):
    monkeypatch.setattr(backends, "_IS_INTERPRETED", False)
    merge, inputs, settings = masks(np.random.default_rng(0), (), "cpu")
    with pytest.raises(RuntimeError, match='backend="triton" cannot run: .* are on cpu'):
        merge(*inputs, **settings, backend="triton")
    merge(*inputs, **settings, backend="auto")


@pytest.mark.parametrize(
    "make",
    [
        lambda: PanopticMerger([7], backend="cuda"),
        lambda: BoxPanopticMerger([7], backend="cuda"),
        lambda: QueryPanopticMerger([0], backend="cuda"),
        lambda: PPSMerger(SPEC, backend="cuda"),
        lambda: PPSPostProcessor(SPEC, backend="cuda"),
    ],
)
def test_an_unknown_backend_is_refused_when_a_module_is_made(make):
    with pytest.raises(ValueError, match="^backend: .*'cuda'"):
        make()
