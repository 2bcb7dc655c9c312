"""What is no tensor, or no id, is named, whichever merge gets it."""

from __future__ import annotations

import pytest
import torch

from pps_torch import (
    PanopticMerger,
    PanopticSegmentation,
    PPSMerger,
    PPSPostProcessor,
    merge_panoptic_centers,
    merge_panoptic_queries,
    merge_pps,
)
from tests.merging.scenes import SPEC

SEGMENTS = [{"id": 1, "category_id": 26}]
PANOPTIC = PanopticSegmentation.from_segments(torch.ones(2, 3, dtype=torch.int64), SEGMENTS)
PARTS = torch.zeros(2, 3, dtype=torch.int64)


@pytest.mark.parametrize("merge", [lambda *maps: merge_pps(*maps, SPEC), PPSMerger(SPEC)])
@pytest.mark.parametrize(
    "panoptic, part_seg, match",
    [
        (PANOPTIC, [[0]], "^part_seg: expected a torch.Tensor, found list"),
        (PANOPTIC, None, "^part_seg: expected a torch.Tensor, found NoneType"),
        (None, PARTS, "^panoptic: expected a PanopticSegmentation"),
        (PANOPTIC._replace(panoptic_seg=[[1]]), PARTS, r"^panoptic.panoptic_seg: .*found list"),
        (PANOPTIC._replace(category_ids=[26]), PARTS, r"^panoptic.category_ids: .*found list"),
    ],
)
def test_maps_of_parts(merge, panoptic, part_seg, match):
    with pytest.raises(TypeError, match=match):
        merge(panoptic, part_seg)
    panoptic = PANOPTIC._replace(category_ids=torch.tensor(26))
    with pytest.raises(ValueError, match=r"^panoptic.category_ids: expected shape \(\*B, S\)"):
        merge(panoptic, PARTS)


@pytest.mark.parametrize("value", [[1.0], None])
def test_heads_of_the_post_processor(value):
    heads = [torch.zeros(19, 2, 3), torch.zeros(1, 4, 4), torch.zeros(1, 4), torch.zeros(1)]
    heads += [torch.zeros(1, dtype=torch.int64), torch.zeros(24, 2, 3)]
    names = ["sem_seg_logits", "mask_probs", "boxes", "scores", "class_indices", "part_logits"]
    PPSPostProcessor(SPEC)(*heads, (4, 6))
    if value is None:
        names.remove("part_logits")  # without parts there are none
    for index, name in enumerate(names):
        with pytest.raises(TypeError, match=f"^{name}: expected a torch.Tensor, found"):
            PPSPostProcessor(SPEC)(*heads[:index], value, *heads[index + 1 :], (4, 6))


@pytest.mark.parametrize(
    "ids, error, match",
    [
        ([2**63], ValueError, r"^stuff_ids: expected distinct ids below 2\*\*63, found \[9223"),
        ([-1], ValueError, r"^stuff_ids: expected distinct ids of 0 or more, found \[-1\]"),
        (None, TypeError, "^stuff_ids: expected ints, found None"),
        (["7"], TypeError, r"^stuff_ids: expected ints, found \['7'\]"),
        (7, TypeError, "^stuff_ids: expected ints, found 7"),
    ],
)
def test_ids_of_stuff(ids, error, match):
    with pytest.raises(error, match=match):
        PanopticMerger(ids)


def test_ids_of_things_where_there_are_no_classes():
    heads = torch.zeros(2, 1), torch.zeros(2, 3, 4)
    assert merge_panoptic_queries(*heads, thing_ids=[]).num_segments.item() == 0
    with pytest.raises(
        ValueError, match="^thing_ids: expected distinct class indices, of which th"
    ):
        merge_panoptic_queries(*heads, thing_ids=[0])


def test_transposed_logits_of_centers():
    logits, heat = torch.rand(3, 5, 4).mT, torch.rand(1, 5, 4).mT
    heads = (logits, heat, torch.rand(2, 5, 4).mT)
    found = merge_panoptic_centers(*heads, thing_ids=[0, 1], stuff_area_limit=1)
    packed = (head.contiguous() for head in heads)
    expected = merge_panoptic_centers(*packed, thing_ids=[0, 1], stuff_area_limit=1)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
