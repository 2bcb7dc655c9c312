"""Arguments of the metrics: pred and target, their former names, and when values are checked."""

from __future__ import annotations

import pytest
import torch

from pps_torch import (
    EvalSpec,
    MeanIoU,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartIoU,
    PartPanopticQuality,
)
from pps_torch.metrics import record_segments, segment_maps
from tests.golden.state_dicts.record import GT, PPS, PRED, UID, metrics, update
from tests.metrics.class_contract import same_state

SPEC = EvalSpec.load("cpp_default")
MAPS, UIDS = torch.from_numpy(PPS[PRED]).permute(2, 0, 1), torch.from_numpy(UID[GT])
PART_METRICS = (PartPanopticQuality, PartIoU)


@pytest.mark.parametrize("kind", PART_METRICS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"pred": MAPS, "target": UIDS},
        {"pps": MAPS, "gt_uids": UIDS},
        {"pps": MAPS, "target": UIDS},
    ],
)
def test_former_names_are_taken_as_keywords(kind, arguments):
    expected = kind(SPEC).update(MAPS, UIDS)
    assert same_state(kind(SPEC).update(**arguments), expected)
    first, second = arguments
    assert same_state(kind(SPEC).update(arguments[first], **{second: UIDS}), expected)


def test_former_names_of_compare_and_of_the_functions():
    metric = PartPanopticQuality(SPEC)
    comparison = metric.compare(pps=MAPS, gt_uids=UIDS)
    assert same_state(metric.add(comparison), PartPanopticQuality(SPEC).update(MAPS, UIDS))
    found = record_segments(PartPanopticQuality(SPEC), MAPS, gt=UIDS)
    assert found[0].segments == PartPanopticQuality(SPEC).record_segments(MAPS, UIDS)[0].segments
    maps, expected = segment_maps(metric, MAPS, gt=UIDS), metric.segment_maps(MAPS, UIDS)
    assert all(torch.equal(*pair) for pair in zip(maps, expected))


@pytest.mark.parametrize("name", [n for n, m in metrics().items() if hasattr(m, "add")])
def test_what_is_no_comparison_is_not_added(name):
    with pytest.raises(TypeError, match="^comparison: expected the result of .* found NoneType"):
        metrics()[name].add(None)


def test_a_list_of_categories_is_no_tensor():
    ids, segments = torch.ones(2, 3, dtype=torch.long), [{"id": 1, "category_id": 7}]
    pred = PanopticSegmentation.from_segments(ids, segments)
    with pytest.raises(TypeError, match="^pred.category_ids: expected a torch.Tensor, found list"):
        PanopticQuality(SPEC).update(
            pred._replace(category_ids=[7]), PanopticTarget.from_segments(ids, segments)
        )


@pytest.mark.parametrize("maps", [(MAPS, UIDS), (None, None)])
def test_maps_of_segments_have_the_checks_of_an_update(maps):
    with pytest.raises(TypeError, match="^pred: expected a PanopticSegmentation .*, found"):
        PanopticQuality(SPEC).segment_maps(*maps)


@pytest.mark.parametrize("kind", PART_METRICS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pred": MAPS, "pps": MAPS, "target": UIDS}, "expected pred once, .* former name pps"),
        ({"pred": MAPS, "target": UIDS, "gt_uids": UIDS}, "target once, .* former name gt_uids"),
        ({"pred": MAPS}, "missing 1 required positional argument: 'target'"),
        ({"gt_uids": UIDS}, "missing 1 required positional argument: 'pred'"),
        ({"pred": MAPS, "gt": UIDS}, "unexpected keyword argument 'gt'"),
    ],
)
def test_both_names_or_none_is_an_error(kind, arguments, message):
    metric = kind(SPEC)
    with pytest.raises(TypeError, match=message):
        metric.update(**arguments)
    assert same_state(metric, kind(SPEC))


def test_a_positional_and_a_former_name_for_one_argument_is_an_error():
    with pytest.raises(TypeError, match="multiple values for argument 'pred'"):
        PartPanopticQuality(SPEC).update(MAPS, pps=MAPS)


@pytest.mark.parametrize("kind", [PanopticQuality, *PART_METRICS])
def test_another_validate_is_named_when_a_metric_is_made(kind):
    with pytest.raises(ValueError, match="^validate: expected True, False or None, found 'no'"):
        kind(SPEC, validate="no")


@pytest.mark.parametrize("name", metrics())
def test_forward_takes_the_names_of_update(name):
    metric = metrics()[name]
    seen = {}
    metric.update = lambda pred, target: (seen.update(pred=pred, target=target), metric)[1]
    metric(pred=1, target=2)
    assert seen == {"pred": 1, "target": 2}


# Calls


def test_a_call_counts_a_bad_batch_as_update_does():
    bad = torch.where(UIDS == 0, 123, UIDS)
    metric = PartPanopticQuality(SPEC)
    metric(MAPS, UIDS)
    with pytest.raises(ValueError, match="pixels of target with a negative or three-digit uid"):
        metric(MAPS, bad)
    assert same_counts(metric, PartPanopticQuality(SPEC).update(MAPS, UIDS).update(MAPS, bad))


def test_a_call_of_wrong_shape_changes_nothing():
    metric = PartPanopticQuality(SPEC).update(MAPS, UIDS)
    with pytest.raises(ValueError, match="^pred: expected shape"):
        metric(MAPS[:2], UIDS)
    assert same_state(metric, PartPanopticQuality(SPEC).update(MAPS, UIDS))


def same_counts(a, b) -> bool:
    """Whether two metrics have the same state; either may hold faults."""
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


# Values


@pytest.mark.parametrize(("validate", "is_raised"), [(None, True), (True, True), (False, False)])
@pytest.mark.parametrize("kind", PART_METRICS)
def test_none_looks_at_values_on_the_cpu(kind, validate, is_raised):
    metric = kind(SPEC, validate=validate)
    bad = torch.full_like(UIDS, 123)
    if is_raised:
        with pytest.raises(ValueError, match=f"had {UIDS.numel()} pixels of target"):
            metric.update(MAPS, bad)
    else:
        metric.update(MAPS, bad)
    with pytest.raises(ValueError, match=f"had {UIDS.numel()} pixels of target"):
        metric.compute()


@pytest.mark.slow
def test_none_leaves_the_values_alone_in_a_graph():
    metric = PartIoU(SPEC, validate=None)
    torch.compiler.reset()
    captured = torch.compile(metric.update, backend="eager", fullgraph=True)
    captured(MAPS, torch.full_like(UIDS, 123))
    assert metric.faults.tolist() == [UIDS.numel(), 0]


def test_update_of_the_recorded_scene_is_the_one_above():
    """What the tests above count is not nothing."""
    metric = PartPanopticQuality(SPEC)
    update(metric)
    assert same_state(metric, PartPanopticQuality(SPEC).update(MAPS, UIDS))
    assert metric.compute().all.n > 0


def test_categories_that_are_none():
    for metric in (PanopticQuality, MeanIoU):
        with pytest.raises(ValueError, match="^categories: expected at least one, found none"):
            metric([])
    with pytest.raises(TypeError, match=r"^categories\[0\]: id: expected an int, found 'sky'"):
        PanopticQuality([{"id": "sky", "name": "sky", "isthing": 0}])
