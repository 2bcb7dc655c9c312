"""What the mergers must make of a scene: the maps of their slow rules in `tests/oracles`."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch import (
    PanopticMerger,
    PanopticSegmentation,
    merge_panoptic,
    merge_panoptic_boxes,
    merge_pps,
)
from pps_torch.io.rle import runs_of_mask
from tests.oracles.merge_panoptic import merge_panoptic as slow_merge
from tests.oracles.merge_pps import merge_pps as slow_merge_pps
from tests.oracles.paste_masks import paste_masks
from tests.random_scenes.compare import expect, expect_true
from tests.random_scenes.scenes import Scene, tensors

#: The rule of box pasting goes pixel by pixel and mask by mask: it takes part below this.
MOST_SAMPLES = 1000


def check_merges(scene: Scene, device: torch.device) -> tuple[PanopticSegmentation, torch.Tensor]:
    """The panoptic map and the PPS map of a scene; raises Mismatch unless they are the rules'."""
    spec = scene.setting.spec
    panoptic, pps = merge(scene.heads, scene.part_seg, scene, device)
    expected, segments = slow_merge(*scene.heads, stuff_ids=spec.stuff, **scene.setting.merging)
    _expect_segmentation("merge_panoptic", panoptic, expected, segments)
    _expect_segmentation("merge_runs", _merge_runs(scene), expected, segments)
    categories = [s["category_id"] for s in segments]
    expected = slow_merge_pps(expected, categories, scene.part_seg, spec)
    expect_true("merge_pps: another map", np.array_equal(pps.cpu().numpy(), expected))
    return panoptic, pps


def merge(
    heads, part_seg, scene: Scene, device: torch.device, backend: str = "auto"
) -> tuple[PanopticSegmentation, torch.Tensor]:
    """Both merges of one image, or of a batch of images with the setting of the scene."""
    setting, (*heads, part_seg) = scene.setting, tensors([*heads, part_seg], device)
    options = {"stuff_ids": setting.spec.stuff, **setting.merging}
    panoptic = merge_panoptic(*heads, **options, backend=backend)
    return panoptic, merge_pps(panoptic, part_seg, setting.spec, backend=backend)


def _merge_runs(scene: Scene) -> PanopticSegmentation:
    """The panoptic map of masks as runs down the columns, on the CPU."""
    sem_seg, masks, scores, classes = scene.heads
    runs = [runs_of_mask(np.ascontiguousarray(mask.T)) for mask in masks]
    merger = PanopticMerger(scene.setting.spec.stuff, **scene.setting.merging)
    cpu = torch.device("cpu")
    sem_seg, scores, classes = tensors([sem_seg, scores, classes], cpu)
    return merger.merge_runs(sem_seg, tensors(runs, cpu), scores, classes, columns_first=True)


def check_boxes(scene: Scene, device: torch.device) -> bool:
    """Whether the merge of masks in boxes was checked; raises Mismatch if it is not the rule's.

    A sample within rounding of the threshold may fall either way: such scenes are left out.
    """
    if len(scene.boxes[0]) * np.prod(scene.setting.size) > MOST_SAMPLES:
        return False
    pasted = paste_masks(*scene.boxes, *scene.setting.size)
    if np.any(np.abs(pasted - 0.5) < 1e-5):
        return False
    sem_seg, _, scores, classes = scene.heads
    options = {"stuff_ids": scene.setting.spec.stuff, **scene.setting.merging}
    heads = tensors([sem_seg, *scene.boxes, scores, classes], device)
    panoptic = merge_panoptic_boxes(*heads, **options, mask_threshold=0.5)
    expected = slow_merge(sem_seg, pasted >= 0.5, scores, classes, **options)
    _expect_segmentation("merge_panoptic_boxes", panoptic, *expected)
    return True


def _expect_segmentation(
    what: str, found: PanopticSegmentation, panoptic: np.ndarray, segments: list[dict]
) -> None:
    is_same = np.array_equal(found.panoptic_seg.cpu().numpy(), panoptic)
    expect_true(f"{what}: another map", is_same)
    count = int(found.num_segments)
    for key, column, otherwise in (
        ("id", torch.arange(1, count + 1), None),
        ("category_id", found.category_ids, None),
        ("isthing", found.is_thing, None),
        ("area", found.areas, None),
        ("source", found.source, -1),
        ("score", found.scores, 0.0),
    ):
        values = [segment.get(key, otherwise) for segment in segments]
        expect(f"{what}: {key}", column[:count].tolist(), values)
