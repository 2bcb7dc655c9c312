"""The modules give what the functions give; PPSPostProcessor is their composition."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle

import numpy as np
import pytest
import torch

from pps_torch import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    EvalSpec,
    PanopticMerger,
    PPSMerger,
    PPSPostProcessor,
    QueryPanopticMerger,
    merge_panoptic,
    merge_panoptic_boxes,
    merge_panoptic_queries,
    merge_pps,
)
from tests.factories import BATCH_SHAPES, boxed_instances, instances, queries
from tests.merging.scenes import SPEC, heads, stack_segmentations


def module_cases():
    """(module, function with the same settings, inputs) for each merger."""
    rng = np.random.default_rng(0)
    spec = EvalSpec.load("cpp_default")
    sem_seg, masks, scores, classes = instances(rng, (12, 16), 6, [7, 23, 24, 26])
    boxed = boxed_instances(rng, (12, 16), 6)
    panoptic = stack_segmentations([np.arange(12).reshape(3, 4) % 4], [[24, 26, 7]], (), "cpu")
    stuff, things = {"stuff_ids": [7, 23]}, {"thing_ids": [0, 1]}
    heuristic = {"score_threshold": 0.6, "overlap_threshold": 0.3, "stuff_area_limit": 9}
    pasted = {**heuristic, "mask_threshold": 0.4}
    of_queries = {"object_mask_threshold": 0.4, "min_kept_fraction": 0.2}
    return [
        (
            PanopticMerger(**stuff, **heuristic),
            functools.partial(merge_panoptic, **stuff, **heuristic),
            (sem_seg, masks, scores, classes),
        ),
        (
            BoxPanopticMerger(**stuff, **pasted),
            functools.partial(merge_panoptic_boxes, **stuff, **pasted),
            (sem_seg, *boxed, scores, classes),
        ),
        (
            QueryPanopticMerger(**things, **of_queries),
            functools.partial(merge_panoptic_queries, **things, **of_queries),
            queries(rng, (12, 16), 6, 3),
        ),
        (
            PPSMerger(spec),
            functools.partial(merge_pps, spec=spec),
            (panoptic, rng.integers(0, 24, (3, 4))),
        ),
    ]


def to(value, device):
    if isinstance(value, tuple):
        return type(value)(*(to(v, device) for v in value))
    return torch.as_tensor(value).to(device)


@pytest.mark.parametrize("case", module_cases(), ids=lambda case: type(case[0]).__name__)
def test_a_module_is_its_function_with_settings(case, device):
    module, function, inputs = case
    inputs = [to(value, device) for value in inputs]
    expected = function(*inputs)
    for twin in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        found = twin.to(device)(*inputs)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert module.state_dict() == {} and list(module.parameters()) == []


@pytest.mark.parametrize(
    "merger",
    [
        PanopticMerger([7, 23], score_threshold=0.6, overlap_threshold=0.3, stuff_area_limit=9),
        BoxPanopticMerger([], mask_threshold=0.4, validate=False),
        QueryPanopticMerger([1, 0], object_mask_threshold=0.4, min_kept_fraction=0.2),
        CenterPanopticMerger([0], center_threshold=0.2, nms_kernel=3, top_k=9, backend="torch"),
    ],
    ids=lambda merger: type(merger).__name__,
)
def test_the_text_of_a_merger_is_the_call_that_makes_it(merger):
    again = eval(repr(merger), {type(merger).__name__: type(merger)})
    for name in inspect.signature(type(merger)).parameters:
        assert f"{name}=" in repr(merger)
        value, other = getattr(merger, name), getattr(again, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    assert repr(again.to("meta")) == repr(merger), "ids are shown on a device without values, too"


def test_the_text_of_a_post_processor_shows_all_its_settings():
    text = repr(PPSPostProcessor(SPEC, class_ids=[26, 24], overlap_threshold=0.4, backend="torch"))
    for name in inspect.signature(PPSPostProcessor).parameters:
        assert f"{name}=" in text
    assert f"part_ids={list(range(24))}" in text and "class_ids=[26, 24]" in text
    assert f"(merge_panoptic): BoxPanopticMerger(stuff_ids={list(SPEC.stuff)}, " in text
    assert f"(merge_pps): PPSMerger(spec={SPEC!r}, validate=None, backend='torch')" in text


def compose(heads, semantic_ids, class_ids, part_ids, size, **settings):
    """The post-processor's steps one by one, with full-size logits."""
    sem_logits, probs, boxes, scores, class_indices, part_logits = heads

    def labels(logits, ids):
        logits = logits.reshape(-1, *logits.shape[-3:])
        full = torch.nn.functional.interpolate(logits, size, mode="bilinear")
        return torch.tensor(ids)[full.argmax(1)].reshape(*sem_logits.shape[:-3], *size)

    panoptic = merge_panoptic_boxes(
        labels(sem_logits, semantic_ids), probs, boxes, scores,
        torch.tensor(class_ids)[class_indices], stuff_ids=SPEC.stuff, **settings,
    )  # fmt: skip
    return panoptic, merge_pps(panoptic, labels(part_logits, part_ids), SPEC)


@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_post_processor_is_the_composition_of_its_steps(batch):
    inputs = heads(np.random.default_rng(len(batch)), batch)
    settings = {"overlap_threshold": 0.4, "stuff_area_limit": 20}
    panoptic, pps = PPSPostProcessor(SPEC, **settings)(*inputs, (24, 32))
    expected = compose(inputs, SPEC.eval_sids, SPEC.things, range(24), (24, 32), **settings)
    assert all(torch.equal(a, b) for a, b in zip(panoptic, expected[0]))
    assert torch.equal(pps, expected[1])


def test_without_a_part_network_there_are_panoptic_maps_alone():
    inputs = heads(np.random.default_rng(0), (2,))
    post_process = PPSPostProcessor(SPEC, stuff_area_limit=20)
    expected, _ = post_process(*inputs, (24, 32))
    panoptic, pps = post_process(*inputs[:5], None, (24, 32))
    assert pps is None and all(torch.equal(a, b) for a, b in zip(panoptic, expected))


def test_post_processor_with_other_channel_meanings():
    """Detectron2's layout: channel 0 of the semantic head is all things."""
    inputs = list(heads(np.random.default_rng(5), ()))
    inputs[0], inputs[5] = inputs[0][:12], inputs[5][:3]
    ids = ((-1, *SPEC.stuff), SPEC.things[::-1], (0, 9, 1))
    names = ("semantic_ids", "class_ids", "part_ids")
    post_process = PPSPostProcessor(SPEC, **dict(zip(names, ids)), stuff_area_limit=20)
    panoptic, pps = post_process(*inputs, (24, 32))
    expected = compose(inputs, *ids, (24, 32), stuff_area_limit=20)
    assert torch.equal(panoptic.panoptic_seg, expected[0].panoptic_seg)
    assert torch.equal(pps, expected[1])
    assert -1 not in panoptic.category_ids[: panoptic.num_segments]


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"semantic_ids": [7, 6]}, "^semantic_ids: .*6"),
        ({"class_ids": [7]}, "^class_ids: .*7"),  # road is stuff
        ({"part_ids": [0, 24]}, "^part_ids: .*24"),
    ],
)
def test_post_processor_refuses_ids_that_the_spec_does_not_have(settings, match):
    with pytest.raises(ValueError, match=match):
        PPSPostProcessor(SPEC, **settings)


def test_post_processor_names_the_head_with_a_wrong_channel_count():
    inputs = list(heads(np.random.default_rng(0), ()))
    with pytest.raises(ValueError, match="^sem_seg_logits: .*19.*18"):
        PPSPostProcessor(SPEC)(inputs[0][:18], *inputs[1:], (24, 32))
    with pytest.raises(ValueError, match="^part_logits: .*24.*23"):
        PPSPostProcessor(SPEC)(*inputs[:5], inputs[5][:23], (24, 32))


@pytest.mark.parametrize(
    "size, error",
    [((24, 0), ValueError), ((24, True), TypeError), (24, TypeError), ((1, 24, 32), TypeError)],
)
def test_post_processor_names_an_image_size_that_is_none(size, error):
    inputs = heads(np.random.default_rng(0), ())
    assert PPSPostProcessor(SPEC)(*inputs, [24, 32])[1].shape == (3, 24, 32)
    with pytest.raises(
        error, match=r"^image_size: expected \(H, W\), two ints of 1 or more, found"
    ):
        PPSPostProcessor(SPEC)(*inputs, size)


def test_boxes_of_padding_with_score_0_are_no_segments():
    inputs = heads(np.random.default_rng(0), ())
    inputs[3].zero_()
    panoptic, _ = PPSPostProcessor(SPEC, stuff_area_limit=1)(*inputs, (24, 32))
    assert not panoptic.is_thing[: panoptic.num_segments].any()


@pytest.mark.parametrize("validate", [None, False, True])
def test_every_step_is_validated_as_the_whole_is(validate):
    post_processor = PPSPostProcessor(SPEC, validate=validate)
    assert post_processor.merge_pps.validate is validate


@pytest.mark.parametrize("index", [-1, 8])
def test_a_class_index_that_means_nothing(index):
    inputs = list(heads(np.random.default_rng(0), ()))
    inputs[4] = torch.full_like(inputs[4], index)
    with pytest.raises(ValueError, match=r"^class_indices: expected 0\.\.7, found"):
        PPSPostProcessor(SPEC)(*inputs, (24, 32))
    panoptic, _ = PPSPostProcessor(SPEC, validate=False)(*inputs, (24, 32))
    assert not panoptic.is_thing.any(), "unchecked, such detections are dropped"


def test_post_processor_refuses_nan_and_heads_of_another_batch():
    inputs = list(heads(np.random.default_rng(0), (2,)))
    with pytest.raises(ValueError, match="^part_logits: expected shape"):
        PPSPostProcessor(SPEC)(*inputs[:5], inputs[5][:1], (24, 32))
    inputs[5] = torch.full_like(inputs[5], float("nan"))
    with pytest.raises(ValueError, match="^part_logits: expected numbers, found NaN"):
        PPSPostProcessor(SPEC)(*inputs, (24, 32))


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: PanopticMerger([7], score_threshold=float("nan")), "^score_threshold: "),
        (lambda: PanopticMerger([7], stuff_area_limit=float("nan")), "^stuff_area_limit: "),
        (lambda: PanopticMerger([7, -1]), "^stuff_ids: .*-1"),
        (lambda: BoxPanopticMerger([7], overlap_threshold=7), "^overlap_threshold: .*7"),
        (lambda: BoxPanopticMerger([7], mask_threshold=0), "^mask_threshold: .*0"),
        (lambda: QueryPanopticMerger([0], object_mask_threshold=float("nan")), "^object_mask_th"),
        (lambda: QueryPanopticMerger([0], object_mask_threshold=80), "^object_mask_thre.*0..1.*80"),
        (lambda: QueryPanopticMerger([0], min_kept_fraction=-1), "^min_kept_fraction: .*-1"),
        (lambda: QueryPanopticMerger([0], mask_threshold=50), "^mask_threshold: .*0..1.*50"),
        (lambda: PPSPostProcessor(SPEC, overlap_threshold=7), "^overlap_threshold: .*7"),
    ],
)
def test_settings_are_checked_when_a_module_is_made(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    "ids, error, match",
    [
        ({"semantic_ids": 7}, TypeError, "^semantic_ids: expected ints, found 7"),
        ({"class_ids": [24.0]}, TypeError, "^class_ids: expected ints, found .24"),
        ({"class_ids": [7]}, ValueError, r"^class_ids: expected ids of the spec, found \[7\]"),
        ({"part_ids": [0, 24]}, ValueError, r"^part_ids: expected ids of the spec, found \[24\]"),
    ],
)
def test_ids_that_the_spec_does_not_have_are_named(ids, error, match):
    with pytest.raises(error, match=match):
        PPSPostProcessor(SPEC, **ids)


@pytest.mark.filterwarnings("error")
def test_ids_may_be_tensors():
    module = PPSPostProcessor(SPEC, class_ids=torch.tensor([26, 24]))
    assert module.class_ids.tolist() == [26, 24]


@pytest.mark.parametrize("index, name", [(0, "sem_seg_logits"), (4, "class_indices"), (5, "part")])
def test_a_head_on_another_device_is_named(index, name):
    inputs = list(heads(np.random.default_rng(0), ()))
    inputs[index] = inputs[index].to("meta")
    with pytest.raises(ValueError, match=f"^{name}.*: expected a tensor on cpu, found meta"):
        PPSPostProcessor(SPEC)(*inputs, (24, 32))


def test_values_cannot_be_validated_while_a_graph_is_captured(monkeypatch):
    inputs = heads(np.random.default_rng(0), ())
    module = PPSPostProcessor(SPEC, validate=True)
    module(*inputs, (24, 32))
    with pytest.raises(ValueError, match="^validate: expected True, False or None, found 'no'"):
        PPSPostProcessor(SPEC, validate="no")(*inputs, (24, 32))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(ValueError, match="^validate: expected None or False where a graph is capt"):
        module(*inputs, (24, 32))


@pytest.mark.parametrize("make", [PPSMerger, PPSPostProcessor])
def test_the_name_of_a_spec_is_no_spec(make):
    with pytest.raises(
        TypeError, match=r"^spec: expected an EvalSpec \(EvalSpec.load .* found str"
    ):
        make("cpp_default")
