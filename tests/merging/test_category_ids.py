"""Class indices go into a merge, and category ids come out of it."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from pps_torch import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    PanopticMerger,
    QueryPanopticMerger,
    merge_panoptic,
    merge_panoptic_boxes,
    merge_panoptic_centers,
    merge_panoptic_queries,
)

IDS = [11, 300, 15]  # of the class indices 0 (stuff), 1 and 2 (things)

SEM_SEG = torch.tensor([[0, 0, 1, 1, 2, 9]] * 4)
SCORES, CLASSES = torch.tensor([0.9, 0.8]), torch.tensor([2, 1])
MASKS = torch.zeros(2, 4, 6, dtype=torch.bool)
MASKS[0, :, 4:], MASKS[1, :, 2:4] = True, True
BOXES = torch.tensor([[4.0, 0, 6, 4], [2, 0, 4, 4]])
LOGITS = torch.nn.functional.one_hot(SEM_SEG.clamp(max=2), 3).permute(2, 0, 1) * 9.0
HEATMAP = torch.zeros(1, 4, 6)
HEATMAP[0, 1, 2] = HEATMAP[0, 1, 5] = 0.9

CASES = {  # function, module, settings, inputs
    "masks": (
        *(merge_panoptic, PanopticMerger, {"stuff_ids": [0], "stuff_area_limit": 1}),
        (SEM_SEG, MASKS, SCORES, CLASSES),
    ),
    "boxes": (
        *(merge_panoptic_boxes, BoxPanopticMerger, {"stuff_ids": [0], "stuff_area_limit": 1}),
        (SEM_SEG, torch.ones(2, 28, 28), BOXES, SCORES, CLASSES),
    ),
    "queries": (
        *(merge_panoptic_queries, QueryPanopticMerger, {"thing_ids": [1, 2]}),
        (torch.eye(3, 4) * 9, LOGITS - 4),
    ),
    "centers": (
        *(merge_panoptic_centers, CenterPanopticMerger),
        {"thing_ids": [1, 2], "stuff_area_limit": 1, "nms_kernel": 3},
        (LOGITS, HEATMAP, torch.zeros(2, 4, 6)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_only_the_categories_change(case, device):
    function, module, settings, inputs = CASES[case]
    inputs = [value.to(device) for value in inputs]
    plain = function(*inputs, **settings)
    expected = torch.tensor([*IDS, -1], device=device)[plain.category_ids]
    assert {*IDS} <= {*expected.flatten().tolist()}
    merger = module(**settings, category_ids=IDS).to(device)
    for merge in (
        functools.partial(function, **settings, category_ids=IDS),
        functools.partial(function, **settings, category_ids=torch.tensor(IDS, device=device)),
        merger,
        copy.deepcopy(merger),
    ):
        found = merge(*inputs)
        assert torch.equal(found.category_ids, expected)
        for name in set(plain._fields) - {"category_ids"}:
            assert torch.equal(getattr(found, name), getattr(plain, name)), name
    batch = function(*(torch.stack([value] * 2) for value in inputs), **settings, category_ids=IDS)
    assert torch.equal(batch.category_ids, torch.stack([expected] * 2))
    assert f"category_ids={IDS}" in repr(merger)


@pytest.mark.parametrize("case", CASES)
def test_ids_that_no_class_can_have_are_refused(case):
    function, _, settings, inputs = CASES[case]
    for ids, error in (([11, 11, 15], ValueError), ([11, -1, 15], ValueError), ("abc", TypeError)):
        with pytest.raises(error, match="^category_ids: expected "):
            function(*inputs, **settings, category_ids=ids)


@pytest.mark.parametrize("case", ["queries", "centers"])
def test_each_channel_needs_an_id(case):
    function, _, settings, inputs = CASES[case]
    with pytest.raises(ValueError, match="^category_ids: expected 3 ids, one a class, found 4$"):
        function(*inputs, **settings, category_ids=[*IDS, 4])


@pytest.mark.parametrize("case", ["masks", "boxes"])
def test_instances_without_a_category(case):
    function, _, settings, inputs = CASES[case]
    inputs = (*inputs[:-1], torch.tensor([2, 3]))
    message = r"^pred_classes: expected class indices 0..2, as .* 3 ids, found 2..3$"
    with pytest.raises(ValueError, match=message):
        function(*inputs, **settings, category_ids=IDS)
    unchecked = function(*inputs, **settings, category_ids=IDS, validate=False)
    assert unchecked.category_ids.tolist() == [15, 11, -1], "such an instance is dropped"
    with pytest.raises(ValueError, match="^stuff_ids: expected distinct class indices 0..2"):
        function(*inputs[:-1], CLASSES, **{**settings, "stuff_ids": [7]}, category_ids=IDS)
