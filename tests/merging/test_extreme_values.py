"""NaN, infinities and numbers out of range: each cell of the table in `docs/api/merging.md`.

Unchecked, such a value counts as a number: the result must be that of the number, in both backends.
"""

from __future__ import annotations

import pytest
import torch

from pps_torch import (
    PPSPostProcessor,
    merge_panoptic,
    merge_panoptic_boxes,
    merge_panoptic_centers,
    merge_panoptic_queries,
)
from tests.merging.scenes import SPEC
from tests.triton_support import BACKENDS, TRITON_SLOWLY

NAN, INF = float("nan"), float("inf")
LOW, HIGH = -1e30, 1e30
SIZES = [None, (4, 6)]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def post_process(heads, size, backend, validate=False):
    scores, classes = torch.tensor([0.9]), torch.tensor([0])
    boxes = torch.tensor([[0.0, 0, 1, 1]])
    settings = {"stuff_area_limit": 1, "backend": backend, "validate": validate}
    device = next(head.device for head in heads if isinstance(head, torch.Tensor))
    module = PPSPostProcessor(SPEC, **settings).to(device)
    rest = (value.to(device) for value in (torch.ones(1, 2, 2), boxes, scores, classes))
    panoptic, pps = module(heads[0], *rest, heads[1], size or (2, 3))
    return *panoptic, pps


def queries(heads, size, backend, validate=False):
    settings = {"thing_ids": [0], "object_mask_threshold": 0.2, "min_kept_fraction": 0.1}
    return merge_panoptic_queries(
        *heads, **settings, out_size=size, backend=backend, validate=validate
    )


def centers(heads, size, backend, validate=False):
    settings = {"thing_ids": [0, 1], "nms_kernel": 3, "top_k": 6, "stuff_area_limit": 1}
    return merge_panoptic_centers(
        *heads, **settings, out_size=size, backend=backend, validate=validate
    )


OF_LOGITS = {NAN: LOW, -INF: LOW, INF: HIGH}
#: Function, its heads, and for each head the number that a value counts as.
CASES = {
    "post-processor": (
        post_process,
        {"sem_seg_logits": drawn(19, 2, 3), "part_logits": drawn(24, 2, 3)},
        [OF_LOGITS, OF_LOGITS],
    ),
    "queries": (
        queries,
        {"class_logits": drawn(4, 3) * 3, "mask_logits": drawn(4, 2, 3) * 3},
        [OF_LOGITS, OF_LOGITS],
    ),
    "centers": (
        centers,
        {
            "sem_seg_logits": drawn(3, 2, 3) * 3,
            "center_heatmap": torch.tensor([[[0.9, 0.1, 0.2], [0.3, 0.2, 0.8]]]),
            "offsets": drawn(2, 2, 3),
        },
        [OF_LOGITS, {NAN: 0.0, -INF: 0.0, INF: HIGH}, {NAN: 0.0, -INF: LOW, INF: HIGH}],
    ),
}
CELLS = [
    pytest.param(case, index, value, id=f"{name} {value}")
    for case, (_, heads, numbers) in CASES.items()
    for index, name in enumerate(heads)
    for value in numbers[index]
]


def with_value(case, index, value, place, device):
    """The heads, with a value in one of them: in its first channel, and in another pixel."""
    heads = [head.clone() for head in CASES[case][1].values()]
    heads[index].view(-1)[[0, place]] = value
    return [head.to(device) for head in heads]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", TRITON_SLOWLY)
@pytest.mark.parametrize("case, index, value", CELLS)
def test_unchecked_a_value_counts_as_a_number(case, index, value, backend, size, device):
    function, _, numbers = CASES[case]
    for place in (1, 8) if case != "centers" or index != 1 else (1, 4):
        found = function(with_value(case, index, value, place, device), size, backend)
        number = numbers[index][value]
        expected = function(with_value(case, index, number, place, device), size, backend)
        for ours, theirs in zip(found, expected, strict=True):
            if ours.is_floating_point():
                assert ours.isfinite().all()
            else:
                assert torch.equal(ours, theirs)


@pytest.mark.parametrize("case, index, value", CELLS)
def test_checked_nan_is_refused_and_infinity_is_not(case, index, value):
    function, heads, _ = CASES[case]
    inputs = with_value(case, index, value, 1, "cpu")
    if value == value:
        function(inputs, None, "torch", validate=True)
    else:
        with pytest.raises(ValueError, match=f"{list(heads)[index]}.*: expected numbers, found"):
            function(inputs, None, "torch", validate=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [NAN, -INF])
def test_channels_without_any_number_leave_the_first(value, backend, size, device):
    heads = [torch.full_like(head, value, device=device) for head in CASES["centers"][1].values()]
    found = centers(heads, size, backend)
    assert not found.panoptic_seg.any(), "class 0 is a thing, and there is no centre"
    heads = [torch.full((4, 3), value), torch.full((4, 2, 3), 9.0)]
    found = queries([head.to(device) for head in heads], size, backend)
    assert found.num_segments.item() == 0, "a query without any class takes no part"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_query_with_an_infinite_class_is_sure_of_it(backend, device):
    class_logits = torch.tensor([[0.0, INF, 0.0]], device=device)
    found = queries([class_logits, torch.ones(1, 2, 3, device=device)], None, backend)
    assert found.category_ids.tolist() == [1] and found.scores.tolist() == [1.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_may_overflow(backend, device):
    """9e4 is infinite in float16: the map is that of large numbers."""
    class_logits = torch.tensor([[9.0, 0, 0], [9.0, 0, 0]], device=device)
    found = []
    for size in (9e4, 1e4):
        halves = torch.tensor([[[size, -size]], [[-size, size]]]).half().to(device)
        settings = {"thing_ids": [0], "out_size": (2, 8), "backend": backend}
        found.append(merge_panoptic_queries(class_logits.half(), halves, **settings))
    assert found[0].panoptic_seg.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]] * 2
    assert torch.equal(found[0].panoptic_seg, found[1].panoptic_seg)


def boxes(device, backend="auto", validate=False, **changes):
    """Two instances side by side, of which changes concern the first."""
    inputs = {
        "sem_seg": torch.full((4, 8), 7),
        "mask_probs": torch.ones(2, 4, 4),
        "boxes": torch.tensor([[0.0, 0, 4, 4], [4, 0, 8, 4]]),
        "scores": torch.tensor([0.9, 0.8]),
        "pred_classes": torch.tensor([26, 26]),
    }
    for name, (place, value) in changes.items():
        inputs[name].view(-1)[place] = value
    inputs = {name: value.to(device) for name, value in inputs.items()}
    settings = {"stuff_ids": [], "backend": backend, "validate": validate}
    return merge_panoptic_boxes(**inputs, **settings).panoptic_seg.cpu()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_unchecked_no_pixel_is_inside_that_0_times_infinity_or_nan_reaches(value, backend, device):
    found = boxes(device, backend, mask_probs=(5, value))
    reached = torch.ones(2, 2, dtype=torch.bool)
    reached[1, 1] = value != INF  # here the weight is 1, and the sum is infinite
    assert torch.equal(found[:2, :2] == 0, reached)
    assert (found == 0).sum() == reached.sum()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value, inside", [(9.0, True), (-9.0, False)])
def test_unchecked_probabilities_out_of_range_are_compared_as_they_are(
    value, inside, backend, device
):
    assert (boxes(device, backend, mask_probs=(5, value))[1, 1] == 1) == inside


@pytest.mark.parametrize("backend", TRITON_SLOWLY)
@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_unchecked_a_box_without_a_corner_holds_nothing(value, corner, backend, device):
    found = boxes(device, backend, boxes=(corner, value))
    holds = corner >= 2 and value == value  # all pixels lie at the start of an endless box
    assert found[0, 0] == holds


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value, ranks", [(NAN, None), (-INF, None), (INF, 1)])
def test_unchecked_scores_rank_as_numbers_and_nan_is_never_kept(value, ranks, backend, device):
    found = boxes(device, backend, scores=(1, value))
    assert found[0].tolist() == ([2] * 4 + [1] * 4 if ranks else [1] * 4 + [0] * 4)
    masks = torch.ones(2, 4, 8, dtype=torch.bool, device=device)
    inputs = (torch.full((4, 8), 7, device=device), masks, torch.tensor([0.9, value]).to(device))
    classes = torch.tensor([26, 26], device=device)
    settings = {"stuff_ids": [], "backend": backend, "validate": False}
    assert merge_panoptic(*inputs, classes, **settings).source[0].item() == (1 if ranks else 0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mask_probs": (5, NAN)}, "^mask_probs: expected probabilities in 0..1"),
        ({"mask_probs": (5, -0.1)}, "^mask_probs: expected probabilities in 0..1"),
        ({"mask_probs": (5, 1.1)}, "^mask_probs: expected probabilities in 0..1"),
        ({"boxes": (2, NAN)}, "^boxes: expected finite pixels"),
        ({"boxes": (2, -INF)}, "^boxes: expected finite pixels"),
        ({"scores": (0, NAN)}, "^scores: expected numbers, found 1 NaN"),
    ],
)
def test_checked_what_is_no_probability_box_or_score_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        boxes("cpu", validate=True, **changes)
    boxes("cpu", validate=True, scores=(0, INF))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    "function, name, shape",
    [
        *((post_process, "sem_seg_logits", (19, *size)) for size in ((0, 0), (0, 3), (2, 0))),
        (post_process, "part_logits", (24, 0, 0)),
        *((centers, "sem_seg_logits", shape) for shape in ((0, 2, 3), (3, 0, 0))),
        (queries, "class_logits", (4, 0)),
        *((queries, "mask_logits", (4, *size)) for size in ((0, 0), (0, 3), (2, 0))),
    ],
)
def test_logits_without_values_are_refused(function, name, shape, validate, backend):
    heads = dict(next(case[1] for case in CASES.values() if case[0] is function))
    heads[name] = torch.zeros(shape)
    if function is centers:
        heads |= {"center_heatmap": torch.zeros(1, *shape[1:])}
        heads |= {"offsets": torch.zeros(2, *shape[1:])}
    text = str(shape).replace("(", r"\(").replace(")", r"\)")
    for size in SIZES:
        with pytest.raises(ValueError, match=f"^{name}: expected .* at least, found shape {text}"):
            function(list(heads.values()), size, backend, validate=validate)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [(0,), (2,)])
def test_no_images_and_no_queries_are_fine(batch, backend, device):
    heads = [torch.zeros(*batch, 0, 3, device=device), torch.zeros(*batch, 0, 2, 3, device=device)]
    assert queries(heads, (4, 6), backend).panoptic_seg.shape == (*batch, 4, 6)
    heads = [
        torch.zeros(*batch, *head.shape, device=device) for head in CASES["centers"][1].values()
    ]
    assert centers(heads, (4, 6), backend).panoptic_seg.shape == (*batch, 4, 6)


@pytest.mark.parametrize("value", [[[0.0]], None])
@pytest.mark.parametrize("case", CASES)
def test_heads_that_are_no_tensors_are_named(case, value):
    function, heads, _ = CASES[case]
    for index, name in enumerate(heads):
        if name == "part_logits" and value is None:
            continue  # there is no part network
        inputs = list(heads.values())
        inputs[index] = value
        with pytest.raises(TypeError, match=f"^{name}: expected a torch.Tensor"):
            function(inputs, None, "torch")
