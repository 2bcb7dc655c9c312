"""1,000 instances, 300 classes and 16 parts a class are nothing special."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import merge_panoptic, merge_panoptic_boxes, merge_panoptic_queries
from pps_torch.ops.painting.pps_channels import pps_channels
from tests.triton_support import needs_triton

NUM_INSTANCES, NUM_CLASSES, NUM_PARTS = 1000, 300, 16
SIZE = (24, 50)
STUFF_IDS = list(range(NUM_CLASSES // 2))


@pytest.fixture(params=["torch", pytest.param("triton", marks=[needs_triton, pytest.mark.slow])])
def backend(request) -> str:
    return request.param


def instances(device):
    """A pixel of its own for each instance, and semantic labels of every stuff class."""
    owner = torch.arange(SIZE[0] * SIZE[1]).view(SIZE)
    masks = owner == torch.arange(NUM_INSTANCES)[:, None, None]
    sem_seg = owner % len(STUFF_IDS)
    scores = torch.linspace(1, 0.6, NUM_INSTANCES)
    classes = NUM_CLASSES // 2 + torch.arange(NUM_INSTANCES) % (NUM_CLASSES // 2)
    return [value.to(device) for value in (sem_seg, masks, scores, classes)]


def expect_every_instance(panoptic, num_stuff):
    flat = panoptic.panoptic_seg.view(-1).cpu()
    assert torch.equal(flat[:NUM_INSTANCES], torch.arange(1, NUM_INSTANCES + 1).int())
    assert panoptic.num_segments.item() == NUM_INSTANCES + num_stuff
    assert (flat[NUM_INSTANCES:] > NUM_INSTANCES).all()
    assert panoptic.areas.sum().item() == flat.numel()


def test_masks(backend, device):
    inputs = instances(device)
    settings = {"stuff_ids": STUFF_IDS, "stuff_area_limit": 1, "backend": backend}
    expect_every_instance(merge_panoptic(*inputs, **settings), len(STUFF_IDS))


@pytest.mark.slow
def test_boxes(backend, device):
    """Every tenth box is one pixel of the image, the others are outside of it."""
    sem_seg, _, scores, classes = instances(device)
    instance = torch.arange(NUM_INSTANCES, device=device)
    is_inside = instance % 10 == 0
    corner = torch.stack([instance % SIZE[1], instance // SIZE[1]], 1).float()
    corner = torch.where(is_inside[:, None], corner, -50.0)
    boxes = torch.cat([corner, corner + 1], 1)
    inputs = (sem_seg, torch.ones(NUM_INSTANCES, 2, 2, device=device), boxes, scores, classes)
    settings = {"stuff_ids": STUFF_IDS, "stuff_area_limit": 1, "backend": backend}
    merged = merge_panoptic_boxes(*inputs, **settings)
    num_inside = int(is_inside.sum())
    assert merged.num_segments.item() == num_inside + len(STUFF_IDS)
    assert torch.equal(merged.source[:num_inside], instance[is_inside])
    numbers = torch.arange(1, num_inside + 1, device=device).int()
    assert torch.equal(merged.panoptic_seg.view(-1)[:NUM_INSTANCES][is_inside], numbers)


def test_queries(backend, device):
    """Every tenth query is an object, and has the pixel of its number."""
    query = torch.arange(NUM_INSTANCES, device=device)
    is_object = query % 10 == 0
    category = query // 10 * 7 % NUM_CLASSES
    class_logits = torch.zeros(NUM_INSTANCES, NUM_CLASSES + 1, device=device)
    class_logits[query, torch.where(is_object, category, NUM_CLASSES)] = 20
    mask_logits = torch.full((NUM_INSTANCES, 20, 50), -9.0, device=device)
    mask_logits.view(NUM_INSTANCES, -1)[query, query] = 9
    merged = merge_panoptic_queries(
        class_logits, mask_logits, thing_ids=list(range(NUM_CLASSES)), backend=backend,
        min_kept_fraction=0,
    )  # fmt: skip
    expected = torch.where(is_object, query // 10 + 1, 0)
    assert torch.equal(merged.panoptic_seg.view(-1).long(), expected)
    assert torch.equal(merged.category_ids[: int(is_object.sum())], category[is_object])


def test_parts(backend, device):
    """Each class has its own flat ids; each segment shows each part of its class once."""
    num_flat = NUM_CLASSES * NUM_PARTS
    pids = np.full((NUM_CLASSES + 1, num_flat + 2), 255)
    for sid in range(NUM_CLASSES):
        pids[sid, 1 + sid * NUM_PARTS + np.arange(NUM_PARTS)] = 1 + np.arange(NUM_PARTS)
    segment = np.repeat(np.arange(1, NUM_INSTANCES + 1), NUM_PARTS)
    sids = np.r_[255, np.arange(NUM_INSTANCES) % NUM_CLASSES]
    iids = np.r_[0, 1 + np.arange(NUM_INSTANCES) // NUM_CLASSES]
    parts = 1 + sids[segment] * NUM_PARTS + np.tile(np.arange(NUM_PARTS), NUM_INSTANCES)
    maps = [torch.from_numpy(a).view(1, 40, -1).to(device) for a in (segment, parts)]
    tables = [torch.from_numpy(a).to(device) for a in (sids[None, 1:], pids)]
    pps = pps_channels(*maps, *tables, ignore_label=255, backend=backend).view(3, -1).cpu().numpy()
    assert np.array_equal(pps[0], sids[segment]) and np.array_equal(pps[1], iids[segment])
    assert np.array_equal(pps[2], np.tile(1 + np.arange(NUM_PARTS), NUM_INSTANCES))
