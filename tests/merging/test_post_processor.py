"""Raw heads to maps: the post-processor against its steps, and its errors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pps_torch import EvalSpec, PPSPostProcessor, merge_panoptic_boxes, merge_pps

SPEC = EvalSpec.load("cpp_default")
SIZE = (24, 40)


def heads(class_indices=None, num=5):
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(2, num, 2, generator=generator) * 16
    if class_indices is None:
        class_indices = torch.randint(8, (2, num), generator=generator)
    return (
        torch.randn(2, 19, 6, 10, generator=generator),
        torch.rand(2, num, 7, 7, generator=generator),
        torch.cat([corners, corners + 12], 2),
        torch.rand(2, num, generator=generator),
        class_indices,
        torch.randn(2, 24, 12, 20, generator=generator),
        SIZE,
    )


def test_equals_upsampling_argmax_and_the_two_merges():
    logits, probs, boxes, scores, indices, part_logits, size = heads()
    upsampled = [
        F.interpolate(values, size=size, mode="bilinear", align_corners=False).argmax(1)
        for values in (logits, part_logits)
    ]
    expected = merge_panoptic_boxes(
        torch.tensor(SPEC.eval_sids)[upsampled[0]],
        probs,
        boxes,
        scores,
        torch.tensor(SPEC.things)[indices],
        stuff_ids=SPEC.stuff,
        stuff_area_limit=20,
    )
    panoptic, pps = PPSPostProcessor(SPEC, stuff_area_limit=20)(*heads())
    assert all(torch.equal(one, other) for one, other in zip(panoptic, expected))
    assert torch.equal(pps, merge_pps(expected, upsampled[1], SPEC))


def test_channels_mean_what_the_constructor_says():
    channels = torch.full((3, 2, 2), -1.0)
    channels[2] = 1.0
    none = (torch.zeros(0, 7, 7), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())
    module = PPSPostProcessor(SPEC, semantic_ids=[-1, 8, 7], part_ids=[0], stuff_area_limit=1)
    _, pps = module(channels, *none, torch.zeros(1, 2, 2), (4, 4))
    assert pps[:, 0, 0].tolist() == [7, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"semantic_ids": [7, 99]}, r"semantic_ids: expected ids of the spec, found \[99\]"),
        ({"class_ids": [7]}, r"class_ids: expected ids of the spec, found \[7\]"),
        ({"part_ids": [24]}, r"part_ids: expected ids of the spec, found \[24\]"),
    ],
)
def test_ids_that_the_spec_does_not_have(arguments, message):
    with pytest.raises(ValueError, match=message):
        PPSPostProcessor(SPEC, **arguments)


@pytest.mark.parametrize("index", [-1, 8])
def test_class_index_of_no_class(index):
    with pytest.raises(ValueError, match=r"class_indices: expected 0\.\.7, found"):
        PPSPostProcessor(SPEC)(*heads(torch.full((2, 5), index)))


def test_channels_that_do_not_fit():
    logits, *others = heads()
    with pytest.raises(ValueError, match="sem_seg_logits: expected 19 channels, got 18"):
        PPSPostProcessor(SPEC)(logits[:, 1:], *others)
