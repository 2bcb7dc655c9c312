"""Segments from label maps: each encoding by hand, and random maps against a loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pps_torch import (
    EvalSpec,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    encode_labels,
    encode_uids,
)
from pps_torch.formats import label_maps
from tests.factories import INTEGER_DTYPES

ROAD, CAR = 7, 26
CATEGORIES = [{"id": CAR, "isthing": 1}, {"id": ROAD, "isthing": 0}]
# Road, a crowd of cars, car 1 twice, car 2, an id that VOID names, void.
PAIR = torch.tensor([[7, 26, 26, 26, 26, 7, 5, -1]]), torch.tensor([[3, -1, 1, 1, 2, -1, 1, 4]])
MAP, CLASSES = [[1, 2, 3, 3, 4, 1, 0, 0]], [ROAD, CAR, CAR, CAR]
CROWD = [False, True, False, False]
VOID = (0, 5)


def kitti_step(categories, instances):
    instances = instances.clamp(min=0)
    return torch.stack([categories.clamp(min=0), instances // 256, instances % 256], -3)


@pytest.mark.parametrize(
    ("encoding", "labels", "divisor"),
    [
        ("pair", PAIR, None),
        ("cityscapes", torch.tensor([[7, 26, 26001, 26001, 26002, 7, 5001, 0]]), None),
        ("uids", torch.tensor([[7, 26, 26001, 2600105, 26002, 7, 5001, 0]]), None),
        ("kitti_step", kitti_step(*PAIR), None),
    ],
)
def test_targets_of_encodings_with_crowds(encoding, labels, divisor, device):
    labels = tuple(m.to(device) for m in labels) if encoding == "pair" else labels.to(device)
    target = PanopticTarget.from_labels(
        labels, CATEGORIES, encoding=encoding, divisor=divisor, capacity=6, void_ids=VOID
    )
    assert target.panoptic_seg.tolist() == MAP and target.panoptic_seg.dtype == torch.int32
    assert target.category_ids.tolist() == [*CLASSES, -1, -1]
    assert target.is_crowd.tolist() == [*CROWD, False, False]
    assert target.num_segments.tolist() == 4 and target.num_segments.dtype == torch.int64


@pytest.mark.parametrize(
    ("encoding", "divisor", "base"),
    [("mapillary", None, 256), ("category_major", 4096, 4096), ("instance_major", 100, None)],
)
def test_encodings_without_crowds(encoding, divisor, base):
    """Instance 0 is an instance."""
    categories, instances = torch.tensor([[7, 26, 26, 26, 5]]), torch.tensor([[0, 0, 3, 0, 1]])
    labels = instances * 100 + categories if base is None else categories * base + instances
    target = PanopticTarget.from_labels(
        labels, CATEGORIES, encoding=encoding, divisor=divisor, void_ids=VOID
    )
    assert target.panoptic_seg.tolist() == [[1, 2, 3, 2, 0]]
    assert target.category_ids.tolist() == [7, 26, 26] and not target.is_crowd.any()


@pytest.mark.parametrize("categories", [CATEGORIES, EvalSpec.load("cpp_default")])
def test_the_ignored_id_is_void_or_a_crowd(categories, device):
    """Void with instance 0 or none, a crowd with another one."""
    maps = torch.tensor([[7, 5, 5, 5, 5, 26]]), torch.tensor([[-1, -1, 0, 1, 2, 0]])
    maps = tuple(m.to(device) for m in maps)
    target = PanopticTarget.from_labels(maps, categories, ignored_id=5)
    road, car, *crowds = (int(target.panoptic_seg[0, x]) - 1 for x in (0, 5, 3, 4))
    assert target.panoptic_seg[0, 1:3].tolist() == [0, 0]
    assert target.category_ids[[road, car, *crowds]].tolist() == [7, 26, 5, 5]
    assert target.is_crowd[[road, car, *crowds]].tolist() == [False, False, True, True]
    assert target.num_segments == 4


def test_predictions():
    pred = PanopticSegmentation.from_labels(PAIR, CATEGORIES, void_ids=VOID)
    assert pred.panoptic_seg.tolist() == MAP and pred.category_ids.tolist() == CLASSES
    assert pred.is_thing.tolist() == [False, True, True, True]
    assert pred.areas.tolist() == [2, 1, 2, 1] and pred.source.tolist() == [-1, 1, 2, 3]
    assert [s["category_id"] for s in pred.segments_info()] == CLASSES


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_every_integer_dtype_and_a_batch(dtype):
    categories = torch.tensor([[[[7, 26]], [[26, 26]]]], dtype=dtype)
    instances = torch.tensor([[[[0, 1]], [[1, 2]]]], dtype=dtype)
    target = PanopticTarget.from_labels((categories, instances), CATEGORIES)
    assert target.panoptic_seg.tolist() == [[[[1, 2]], [[1, 2]]]]
    assert target.category_ids.tolist() == [[[7, 26], [26, 26]]]
    assert target.num_segments.tolist() == [[2, 2]]


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 2, 2), (1, 1)])
def test_empty_maps(shape):
    maps = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    target = PanopticTarget.from_labels(maps, CATEGORIES, capacity=2)
    assert target.panoptic_seg.shape == shape and (target.category_ids == -1).all()
    assert PanopticTarget.from_labels(maps, []).category_ids.shape[-1] == 0


def test_a_spec_reads_dataset_ids_of_targets_and_evaluation_ids_of_predictions():
    """Cars and trucks of the data set are one class; instances of both with one id are two."""
    cpp = EvalSpec.load("cpp_default")
    labels = {27: "truck", 7: "road"}
    spec = replace(
        cpp,
        scene_labels=labels,
        things=(27,),
        stuff=(7,),
        dataset_sid_to_eval_sid={26: 27, 27: 27, 8: 7},
    )
    maps = torch.tensor([[26, 27, 27, 8, 7]]), torch.tensor([[1, 1, 1, -1, -1]])
    target = PanopticTarget.from_labels(maps, spec)
    assert target.panoptic_seg.tolist() == [[2, 3, 3, 1, 0]]
    assert target.category_ids.tolist() == [7, 27, 27]
    with pytest.raises(
        ValueError, match=r"expected the ids 7, 27, or void \(0, 255\), found 8, 26;"
    ):
        PanopticSegmentation.from_labels(maps, spec)
    pred = PanopticSegmentation.from_labels(maps, spec, void_ids=(8, 26))
    assert pred.panoptic_seg.tolist() == [[0, 2, 2, 0, 1]]
    assert pred.category_ids.tolist() == [7, 27]


@pytest.mark.parametrize("seed", range(5))
def test_random_maps_are_numbered_as_by_a_loop(seed):
    rng = np.random.default_rng(seed)
    categories = rng.choice([-1, 5, 7, 26], (3, 9, 13))
    instances = rng.integers(-1, 4, (3, 9, 13))
    target = PanopticTarget.from_labels(
        (torch.from_numpy(categories), torch.from_numpy(instances)), CATEGORIES, void_ids=VOID
    )
    for image in range(3):
        keys = [
            (c != ROAD, c, max(i, -1) if c == CAR else -1) if c in (ROAD, CAR) else None
            for c, i in zip(categories[image].flat, instances[image].flat)
        ]
        segments = sorted({key for key in keys if key})
        expected = [segments.index(key) + 1 if key else 0 for key in keys]
        assert target.panoptic_seg[image].flatten().tolist() == expected
        rows = target.category_ids[image].tolist()
        assert rows == [c for _, c, _ in segments] + [-1] * (len(rows) - len(segments))
        crowd = [c == CAR and i < 0 for _, c, i in segments]
        assert target.is_crowd[image, : len(segments)].tolist() == crowd


def test_it_is_the_inverse_of_the_encoders():
    categories, instances = torch.tensor([[26, 7, 26]]), torch.tensor([[1, -1, 12]])
    expected = PanopticTarget.from_labels((categories, instances), CATEGORIES)
    labels = encode_labels(categories, instances, 1000, "cityscapes")
    uids = encode_uids(categories, instances, torch.full_like(instances, -1))
    for encoding, maps in (("cityscapes", labels), ("uids", uids)):
        found = PanopticTarget.from_labels(maps, CATEGORIES, encoding=encoding)
        assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (
            PAIR[0],
            {},
            TypeError,
            "labels: expected two maps, categories and instances, found Tensor",
        ),
        (PAIR, {"encoding": "uids"}, TypeError, "labels: expected a torch.Tensor, found tuple"),
        (PAIR[0], {"encoding": "coco"}, ValueError, "encoding: expected one of"),
        (PAIR[0], {"encoding": "uids", "divisor": 9}, ValueError, "divisor: expected None"),
        (PAIR[0], {"encoding": "category_major"}, ValueError, "divisor: expected an int"),
        (PAIR[0], {"encoding": "kitti_step"}, ValueError, r"labels: expected shape \(\*B, 3, H"),
        (
            torch.tensor([[[26, 26]], [[1, 0]], [[0, 256]]]),  # which would be one instance
            {"encoding": "kitti_step"},
            ValueError,
            r"labels: green and blue: expected 0\.\.255, found 0\.\.256",
        ),
        ((PAIR[0], PAIR[1][:, :2]), {}, ValueError, r"labels\[1\]: expected shape \(1, 8\)"),
        ((PAIR[0].float(), PAIR[1]), {}, TypeError, r"labels\[0\]: expected uint8 or a signed"),
        (PAIR, {"capacity": 3}, ValueError, "capacity: expected at least 4 segments, found 3"),
        (PAIR, {"capacity": -1}, ValueError, "capacity: expected an int of 0 or more"),
        (PAIR, {"void_ids": 5}, TypeError, "void_ids: expected ints, found int"),
        (PAIR, {"void_ids": [-1]}, ValueError, "void_ids: expected an int of 0 or more"),
        (PAIR, {"ignored_id": 26}, ValueError, "ignored_id: expected an id of no category"),
        (PAIR, {"ignored_id": -1}, ValueError, "ignored_id: expected an int of 0 or more"),
        ((PAIR[0], PAIR[1] + 2**31), {}, ValueError, "labels: expected instances up to"),
    ],
)
def test_bad_arguments_are_named(labels, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        PanopticTarget.from_labels(labels, CATEGORIES, **{"void_ids": VOID, **options})


@pytest.mark.parametrize(
    ("categories", "error"),
    [("cpp_default", TypeError), ([7], TypeError), ([{"id": 7}], ValueError)]
    + [(CATEGORIES * 2, ValueError), ([{"id": 1 << 30, "isthing": 0}], ValueError)]
    + [([{"id": 7, "isthing": "0"}], ValueError), ([{"id": 7, "isthing": None}], ValueError)],
)
def test_bad_categories_are_named(categories, error):
    with pytest.raises(error, match=r"^categories(\[\d\](: (id|isthing))?)?: expected"):
        PanopticTarget.from_labels(PAIR, categories)


@pytest.mark.parametrize("short", ["pred", "target"])
@pytest.mark.parametrize("metric", [PanopticQuality, ModifiedPanopticQuality])
def test_segments_beyond_the_capacity_are_faults_where_no_value_is_checked(
    metric, short, monkeypatch
):
    """Three cars, and room for two."""
    maps = torch.tensor([[26, 26, 26]]), torch.tensor([[1, 2, 3]])
    categories = [{"id": CAR, "name": "car", "isthing": 1}]
    monkeypatch.setattr(label_maps, "checks_values", lambda validate, _: bool(validate))
    monkeypatch.setattr(label_maps, "is_on_host", lambda _: False)  # as on CUDA
    pred = PanopticSegmentation.from_labels(maps, categories, capacity=2 + (short != "pred"))
    target = PanopticTarget.from_labels(maps, categories, capacity=2 + (short != "target"))
    found = pred if short == "pred" else target
    assert found.panoptic_seg.tolist() == [[1, 2, 3]] and int(found.num_segments) == 3
    message = f"1 pixels of {short} with a segment id that has no row in its table"
    with pytest.raises(ValueError, match=message):
        metric(categories).update(pred, target).compute()
    with pytest.raises(ValueError, match=message):
        metric(categories, validate=True).update(pred, target)
    if short == "pred":
        with pytest.raises(ValueError, match="expected ids with a row in the table, found 3"):
            pred.to_labels(1000)
    fitting = PanopticSegmentation.from_labels(maps, categories, capacity=3)
    whole = PanopticTarget.from_labels(maps, categories, capacity=3)
    assert metric(categories).update(fitting, whole).compute().classes[CAR].tp == 3


@pytest.mark.parametrize("kind", [PanopticSegmentation, PanopticTarget])
def test_class_indices_are_asked_for(kind):
    """Of road 0, which is void in most data sets, and car 1."""
    indices, instances = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[-1, -1, 1, 2]])
    message = r"^labels: expected the ids 7, 26, or void \(0, 255\), found 1; are these class ind"
    with pytest.raises(ValueError, match=message):
        kind.from_labels((indices, instances), CATEGORIES)
    ids = torch.tensor([ROAD, CAR])[indices]
    assert kind.from_labels((ids, instances), CATEGORIES).category_ids.tolist() == [7, 26, 26]


def test_unknown_ids_are_faults_where_no_value_is_checked():
    categories = [{**c, "name": str(c["id"])} for c in CATEGORIES]
    maps = torch.tensor([[0, 7, 1, 1]]), torch.tensor([[-1, -1, 1, 2]])
    pred = PanopticSegmentation.from_labels(maps, categories, validate=False)
    assert pred.panoptic_seg.tolist() == [[0, 1, 2, 2]] and pred.category_ids.tolist() == [7]
    target = PanopticTarget.from_labels(maps, categories, void_ids=(0, 1))
    with pytest.raises(ValueError, match="2 pixels of pred with a segment id that has no row"):
        PanopticQuality(categories).update(pred, target).compute()


@pytest.mark.parametrize(
    ("labels", "encoding"),
    [
        (torch.tensor([[26001, 123, 999, 0]]), "uids"),  # of three digits, which no uid has
        ((torch.tensor([[26, 26, 26, 0]]), torch.tensor([[1, 1 << 40, (1 << 31) - 1, 3]])), "pair"),
    ],
)
def test_what_an_encoding_forbids_is_a_fault_where_no_value_is_checked(labels, encoding):
    categories = [{**c, "name": str(c["id"])} for c in CATEGORIES]
    settings = {"encoding": encoding, "capacity": 2}
    pred = PanopticSegmentation.from_labels(labels, categories, validate=False, **settings)
    assert pred.panoptic_seg.tolist() == [[1, 3, 3, 0]] and pred.category_ids.tolist() == [26, -1]
    with pytest.raises(ValueError, match="uids: expected non-neg|labels: expected instances up to"):
        PanopticSegmentation.from_labels(labels, categories, validate=True, **settings)


def test_fake_tensors_and_another_default_device_leave_nothing_behind(monkeypatch):
    label_maps._kept_class_tables.cache_clear()
    with FakeTensorMode(), monkeypatch.context() as patch:
        patch.setattr(label_maps, "is_on_host", lambda _: False)  # as on CUDA
        maps = torch.zeros(4, 5, dtype=torch.int32), torch.zeros(4, 5, dtype=torch.int32)
        PanopticTarget.from_labels(maps, CATEGORIES, capacity=3, validate=False)
    with torch.device("meta"):
        assert PanopticTarget.from_labels(PAIR, CATEGORIES, void_ids=VOID).category_ids.is_cpu
    assert PanopticTarget.from_labels(PAIR, CATEGORIES, void_ids=VOID).panoptic_seg.tolist() == MAP


def test_a_category_may_have_the_id_of_void_and_a_spec_its_own():
    target = PanopticTarget.from_labels(
        (torch.tensor([[0, 255]]), torch.tensor([[-1, -1]])), [{"id": 0, "isthing": 0}]
    )
    assert target.panoptic_seg.tolist() == [[1, 0]]
    spec = replace(EvalSpec.load("cpp_default"), ignore_label=200)
    maps = torch.tensor([[7, 200]]), torch.tensor([[-1, -1]])
    assert PanopticSegmentation.from_labels(maps, spec).panoptic_seg.tolist() == [[1, 0]]
    ego_vehicle_and_caravan = torch.tensor([[7, 1, 29]]), torch.tensor([[-1, -1, -1]])
    target = PanopticTarget.from_labels(ego_vehicle_and_caravan, EvalSpec.load("cpp_default"))
    assert target.panoptic_seg.tolist() == [[1, 0, 0]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_device_and_overflow_is_counted():
    maps = tuple(m.cuda() for m in PAIR)
    PanopticTarget.from_labels(maps, CATEGORIES, capacity=3, void_ids=VOID)  # makes the tables
    torch.cuda.set_sync_debug_mode("error")
    try:
        target = PanopticTarget.from_labels(maps, CATEGORIES, capacity=3, void_ids=VOID)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert target.panoptic_seg.tolist() == MAP
    assert int(target.num_segments) == 4


@pytest.mark.slow
@pytest.mark.parametrize("categories", [CATEGORIES, EvalSpec.load("cpp_default")])
def test_label_maps_become_containers_in_one_graph(categories):
    def read(labels):
        return PanopticTarget.from_labels(labels, categories, capacity=9, validate=False)

    compiled = torch.compile(read, backend="eager", fullgraph=True)
    for found, expected in zip(compiled(PAIR), read(PAIR), strict=True):
        assert torch.equal(found, expected)
