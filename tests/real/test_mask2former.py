"""Mask2Former's own code: its maps, its segments, and what holds in half precision."""

from __future__ import annotations

import pytest
import torch

from tests.docs.pages import run_section
from tests.real.queries import PROJECTS_PAGE, scene


def test_fifty_maps_and_their_segments_are_equal(mask2former):
    from pps_torch.integrations.detectron2 import use_fused_merge

    theirs = [mask2former.panoptic_inference(*scene(seed)) for seed in range(50)]
    assert use_fused_merge(mask2former) is mask2former
    num_segments = 0
    for seed, (expected_map, expected_infos) in enumerate(theirs):
        found_map, found_infos = mask2former.panoptic_inference(*scene(seed))
        assert found_map.dtype == expected_map.dtype and torch.equal(found_map, expected_map)
        assert [list(i.items()) for i in found_infos] == [list(i.items()) for i in expected_infos]
        num_segments += len(expected_infos)
    assert num_segments > 200


def test_the_whole_model_has_the_same_outputs(mask2former):
    from pps_torch.integrations.detectron2 import use_fused_merge

    mask_cls, mask_pred = scene(3, (32, 48))
    outputs = {"pred_logits": mask_cls[None], "pred_masks": mask_pred[None]}
    mask2former.sem_seg_head.forward = lambda features: dict(outputs)
    image = {"image": torch.zeros(3, 120, 170), "height": 130, "width": 190}
    expected = mask2former([image])[0]["panoptic_seg"]
    found = use_fused_merge(mask2former)([image])[0]["panoptic_seg"]
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_merged_as_the_same_numbers_in_float32(mask2former, dtype):
    """Under autocast Mask2Former multiplies rounded mask probabilities, so its maps differ."""
    from pps_torch.integrations.detectron2 import use_fused_merge

    scenes = [[logits.to(dtype) for logits in scene(seed)] for seed in range(20)]
    precise = [mask2former.panoptic_inference(*(x.float() for x in s))[0] for s in scenes]
    rounded = [mask2former.panoptic_inference(*s)[0] for s in scenes]
    use_fused_merge(mask2former)
    found = [mask2former.panoptic_inference(*s)[0] for s in scenes]
    assert all(map(torch.equal, found, precise))
    differing = sum(int((a != b).sum()) for a, b in zip(found, rounded))
    assert 0 < differing < 0.2 * sum(map(torch.numel, found))


def test_equal_products_go_to_the_first_query(mask2former):
    from pps_torch.integrations.detectron2 import use_fused_merge

    mask_cls, mask_pred = scene(1)
    mask_cls, mask_pred = mask_cls.repeat(2, 1), mask_pred.repeat(2, 1, 1)
    expected = mask2former.panoptic_inference(mask_cls, mask_pred)
    found = use_fused_merge(mask2former).panoptic_inference(mask_cls, mask_pred)
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]


def test_what_the_page_says(mask2former):
    mask_cls, mask_pred = scene(5)
    expected_map, expected_infos = mask2former.panoptic_inference(mask_cls, mask_pred)
    given = {"mask2former": mask2former, "mask_cls": mask_cls, "mask_pred": mask_pred}
    names = run_section(PROJECTS_PAGE, "Mask2Former and MaskFormer", given)
    assert torch.equal(names["panoptic_seg"], expected_map)
    assert names["segments_info"] == expected_infos
