"""Segment tables: numbering in listed order, padding, and maps that contradict their list."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, PanopticTarget
from tests.factories import INTEGER_DTYPES

IDS = [[0, 90, 90], [7, 7, 90]]
SEGMENTS = [
    {"id": 90, "category_id": 5, "isthing": 1, "score": 0.75, "iscrowd": 0},
    {"id": 7, "category_id": 2, "isthing": 0, "iscrowd": 1},
]


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_segments_are_numbered_in_listed_order(dtype, device):
    ids = torch.tensor(IDS, dtype=dtype, device=device)
    pred = PanopticSegmentation.from_segments(ids, SEGMENTS)
    assert pred.panoptic_seg.dtype == torch.int32 and pred.panoptic_seg.device == ids.device
    assert pred.panoptic_seg.tolist() == [[0, 1, 1], [2, 2, 1]]
    assert pred.category_ids.tolist() == [5, 2]
    assert pred.is_thing.tolist() == [True, False]
    assert pred.areas.tolist() == [3, 2]
    assert pred.scores.tolist() == [0.75, 0.0]
    assert pred.num_segments.item() == 2

    target = PanopticTarget.from_segments(ids, SEGMENTS)
    assert torch.equal(target.panoptic_seg, pred.panoptic_seg)
    assert torch.equal(target.category_ids, pred.category_ids)
    assert target.is_crowd.tolist() == [False, True]
    assert target.num_segments.item() == 2


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "i8", "u8"])
def test_maps_of_numpy(dtype):
    array = np.array(IDS, dtype)[:, ::-1]  # of negative strides, as a flipped picture
    array.flags.writeable = False
    for container in (PanopticSegmentation, PanopticTarget):
        found = container.from_segments(array, SEGMENTS)
        expected = container.from_segments(torch.tensor(IDS).flip(1), SEGMENTS)
        assert all(torch.equal(a, b) for a, b in zip(found, expected))
        with pytest.raises(TypeError, match="^ids: expected an integer dtype, found float64"):
            container.from_segments(np.zeros((2, 2)), [])
        with pytest.raises(ValueError, match=r"^ids: expected ids below 2\*\*63, found 184"):
            container.from_segments(np.full((1, 1), 2**64 - 1, np.uint64), [])


def test_segments_with_the_labels_of_hugging_face():
    infos = [
        {"id": 7, "label_id": 2, "was_fused": False, "score": 0.5},
        {"id": 90, "label_id": 2, "category_id": 5},
    ]
    pred = PanopticSegmentation.from_segments(torch.tensor(IDS), infos, thing_ids=[2])
    assert pred.category_ids.tolist() == [2, 5] and pred.is_thing.tolist() == [True, False]
    target = PanopticTarget.from_segments(torch.tensor(IDS), infos)
    assert target.category_ids.tolist() == [2, 5]
    with pytest.raises(ValueError, match=r"^segments_info\[0\]: category_id: expected an int"):
        PanopticTarget.from_segments(torch.tensor([[7]]), [{"id": 7, "label_id": "car"}])


def test_segments_info_says_what_from_segments_was_told():
    pred = PanopticSegmentation.from_segments(torch.tensor(IDS), SEGMENTS)
    thing, stuff = pred.segments_info()
    assert {k: thing[k] for k in ("id", "category_id", "isthing", "area", "score")} == {
        "id": 1, "category_id": 5, "isthing": True, "area": 3, "score": 0.75,
    }  # fmt: skip
    assert stuff == {"id": 2, "category_id": 2, "isthing": False, "area": 2}


def test_unused_rows_are_marked():
    pred = PanopticSegmentation.from_segments(torch.tensor(IDS), SEGMENTS, capacity=4)
    assert pred.category_ids.tolist() == [5, 2, -1, -1]
    assert pred.num_segments.item() == 2 and len(pred.segments_info()) == 2
    target = PanopticTarget.from_segments(torch.tensor(IDS), SEGMENTS, capacity=3)
    assert target.category_ids.tolist() == [5, 2, -1]
    assert target.is_crowd.tolist() == [False, True, False]
    with pytest.raises(ValueError, match="^capacity: .*2.*1"):
        PanopticTarget.from_segments(torch.tensor(IDS), SEGMENTS, capacity=1)


def test_thing_ids_decide_where_the_list_is_silent():
    silent = [{"id": 90, "category_id": 5}, {"id": 7, "category_id": 2}]
    for segments in (silent, [{**info, "isthing": None} for info in silent]):
        pred = PanopticSegmentation.from_segments(torch.tensor(IDS), segments, thing_ids=[5])
        assert pred.is_thing.tolist() == [True, False]
    segments = [{**info, "isthing": info["id"] == 7} for info in silent]
    pred = PanopticSegmentation.from_segments(torch.tensor(IDS), segments, thing_ids=[5])
    assert pred.is_thing.tolist() == [False, True]


CATEGORIES = [{"id": 2, "isthing": 0}, {"id": 5, "isthing": 1}]


def test_categories_decide_where_the_list_is_silent():
    ids = torch.tensor(IDS)
    silent = [{"id": 90, "category_id": 5, "score": 0.5}, {"id": 7, "category_id": 2}]
    for segments in (silent, [{**info, "isthing": None} for info in silent]):
        pred = PanopticSegmentation.from_segments(ids, segments, categories=CATEGORIES)
        assert pred.is_thing.tolist() == [True, False] and pred.source.tolist() == [0, -1]
        assert pred.segments_info()[0]["score"] == 0.5
        assert pred.to_labels(1000).unique().tolist() == [-1, 2000, 5001]
    unsaid = PanopticSegmentation.from_segments(ids, silent)
    assert not unsaid.is_thing.any() and "score" not in unsaid.segments_info()[0]
    assert unsaid.to_labels(1000).unique().tolist() == [-1, 2000, 5000]
    segments = [{**info, "isthing": info["id"] == 7} for info in silent]
    pred = PanopticSegmentation.from_segments(ids, segments, categories=CATEGORIES)
    assert pred.is_thing.tolist() == [False, True]


def test_categories_change_nothing_of_a_target():
    ids = torch.tensor(IDS)
    found = PanopticTarget.from_segments(ids, SEGMENTS, categories=CATEGORIES)
    assert all(map(torch.equal, found, PanopticTarget.from_segments(ids, SEGMENTS)))


def test_categories_of_a_spec_are_its_evaluation_ids():
    spec, ids = EvalSpec.load("cpp_default"), torch.tensor([[1, 2]])
    infos = [{"id": 1, "category_id": 7}, {"id": 2, "category_id": 26}]
    pred = PanopticSegmentation.from_segments(ids, infos, categories=spec)
    assert pred.is_thing.tolist() == [False, True]
    for container in (PanopticSegmentation, PanopticTarget):
        with pytest.raises(ValueError, match=r"found unknown ones \(4\); the categories have the"):
            container.from_segments(ids, [infos[0], {"id": 2, "category_id": 4}], categories=spec)


@pytest.mark.parametrize("container", [PanopticSegmentation, PanopticTarget])
@pytest.mark.parametrize(
    ("categories", "error", "match"),
    [
        (
            [{"id": 4, "isthing": 0}, {"id": 2, "isthing": 0}],
            ValueError,
            r"^segments_info: .* found unknown ones \(5\); the categories have the ids 4, 2; are",
        ),
        ([], ValueError, r"found unknown ones \(2, 5\)"),
        ([{"id": 2}], ValueError, r"^categories\[0\]: expected the keys id, isthing, found id"),
        (5, TypeError, "^categories: expected an EvalSpec or a list of dicts .*, found int"),
    ],
)
def test_categories_that_the_segments_do_not_have(container, categories, error, match):
    with pytest.raises(error, match=match):
        container.from_segments(torch.tensor(IDS), SEGMENTS, categories=categories)


def test_things_are_said_once():
    with pytest.raises(ValueError, match="^thing_ids: expected None where categories are given"):
        PanopticSegmentation.from_segments(
            torch.tensor(IDS), SEGMENTS, categories=CATEGORIES, thing_ids=[5]
        )


def test_another_void_id():
    ids = torch.tensor([[-1, 0], [0, -1]])
    target = PanopticTarget.from_segments(ids, [{"id": 0, "category_id": 5}], void_id=-1)
    assert target.panoptic_seg.tolist() == [[0, 1], [1, 0]]


def test_a_map_of_void_alone():
    ids = torch.zeros(2, 3, dtype=torch.int64)
    pred = PanopticSegmentation.from_segments(ids, [])
    assert pred.segments_info() == [] and pred.num_segments.item() == 0
    assert pred.panoptic_seg.sum() == 0


def test_a_batch_gives_a_list_for_each_image():
    pred = PanopticSegmentation.from_segments(torch.tensor(IDS), SEGMENTS)
    batch = PanopticSegmentation(*(torch.stack([f, f]) for f in pred))
    assert batch.segments_info() == [pred.segments_info()] * 2


@pytest.mark.parametrize("container", [PanopticSegmentation, PanopticTarget])
@pytest.mark.parametrize(
    "ids, segments, error, match",
    [
        (IDS, SEGMENTS[:1], ValueError, "7"),  # in the map, not listed
        (IDS, [*SEGMENTS, {"id": 8, "category_id": 1}], ValueError, "8"),  # listed, no pixel
        (IDS, [*SEGMENTS, {"id": 7, "category_id": 1}], ValueError, "7"),  # listed twice
        ([IDS], SEGMENTS, ValueError, r"\(H, W\)"),
        ([[0.0, 90.0]], SEGMENTS, TypeError, "^ids: "),
    ],
)
def test_contradictions_are_refused(container, ids, segments, error, match):
    with pytest.raises(error, match=match):
        container.from_segments(torch.tensor(ids), segments)


@pytest.mark.parametrize(
    "info, match",
    [
        ({"id": 1}, r"^segments_info\[0\]: category_id: expected an int .* found None"),
        ({"category_id": 7}, r"^segments_info\[0\]: id: expected an int .* found None"),
        ({"id": 1, "category_id": -1}, r"^segments_info\[0\]: category_id: .* found -1"),
        ({"id": 1, "category_id": 2.5}, r"^segments_info\[0\]: category_id: .* found 2.5"),
        ({"id": 1, "category_id": 2, "isthing": "no"}, "isthing: expected 0 or 1, found 'no'"),
        ({"id": 1, "category_id": 2, "iscrowd": "0"}, r"0\]: iscrowd: expected 0 or 1, found '0'"),
        ({"id": 1, "category_id": 2, "iscrowd": 2}, "iscrowd: expected 0 or 1, found 2"),
    ],
)
def test_listed_segments_say_what_they_are(info, match):
    for kind in (PanopticSegmentation, PanopticTarget):
        with pytest.raises(ValueError, match=match):
            kind.from_segments(torch.tensor([[1]]), [info])


@pytest.mark.parametrize("container", [PanopticSegmentation, PanopticTarget])
@pytest.mark.parametrize(
    "segments, match",
    [
        (None, "^segments_info: expected a list of dicts, found NoneType"),
        (torch.zeros(2), "^segments_info: expected a list of dicts, found Tensor"),
        ([3], r"^segments_info\[0\]: expected a dict, found int"),
    ],
)
def test_segments_of_another_kind_are_refused(container, segments, match):
    with pytest.raises(TypeError, match=match):
        container.from_segments(torch.zeros(2, 2, dtype=torch.int64), segments)


@pytest.mark.parametrize("container", [PanopticSegmentation, PanopticTarget])
@pytest.mark.parametrize("dtype", [torch.int8, *INTEGER_DTYPES])
def test_an_id_that_the_map_cannot_hold_is_not_in_it(container, dtype):
    """Void 300 is not 44, and void -1 not 255, where a byte has them."""
    highest = min(torch.iinfo(dtype).max, 255)
    ids = torch.tensor([[44, highest]], dtype=dtype)
    infos = [{"id": 44, "category_id": 1}, {"id": highest, "category_id": 2}]
    for void_id in (300, -1, 1 << 40):
        assert container.from_segments(ids, infos, void_id=void_id).panoptic_seg.tolist() == [
            [1, 2]
        ]
        with pytest.raises(ValueError, match=rf"not listed: \[{highest}\]"):
            container.from_segments(ids, infos[:1], void_id=void_id)
    with pytest.raises(ValueError, match=r"no pixel in the map: \[300\]"):
        container.from_segments(ids, [*infos, {"id": 300, "category_id": 3}])


@pytest.mark.parametrize("container", [PanopticSegmentation, PanopticTarget])
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"ids": [[1]]}, TypeError, "^ids: expected a torch.Tensor, found list"),
        ({"ids": None}, TypeError, "^ids: expected a torch.Tensor, found NoneType"),
        ({"void_id": None}, TypeError, "^void_id: expected an int, found None"),
        ({"void_id": 1.0}, TypeError, "^void_id: expected an int, found 1.0"),
        ({"void_id": 1 << 63}, ValueError, "^void_id: expected an int of 64 bits, found 92"),
        ({"capacity": 3.0}, TypeError, "^capacity: expected an int, found 3.0"),
        ({"capacity": -1}, ValueError, "^capacity: expected an int of 0 or more, found -1"),
        (
            {"segments_info": [{"id": 1 << 63, "category_id": 1}]},
            ValueError,
            r"^segments_info\[0\]: id: expected an int from 0 to 2\*\*63 - 1, found 92",
        ),
    ],
)
def test_wrong_arguments_are_named(container, arguments, error, match):
    given = {
        "ids": torch.ones(1, 1, dtype=torch.int64),
        "segments_info": [{"id": 1, "category_id": 1}],
    }
    with pytest.raises(error, match=match):
        container.from_segments(**(given | arguments))


@pytest.mark.parametrize("value", [np.int64(3), np.uint8(3), 3])
def test_ints_of_numpy_are_ints(value):
    infos = [{"id": value, "category_id": value, "score": np.float32(0.5), "isthing": np.True_}]
    ids = torch.full((1, 1), 3)
    panoptic = PanopticSegmentation.from_segments(ids, infos, capacity=value, void_id=value - value)
    assert panoptic.category_ids.tolist() == [3, -1, -1] and panoptic.is_thing[0]


def test_wrong_arguments_of_a_prediction_are_named():
    ids, infos = torch.ones(1, 1, dtype=torch.int64), [{"id": 1, "category_id": 1, "score": "x"}]
    with pytest.raises(
        TypeError, match=r"^segments_info\[0\]: score: expected a number, found 'x'"
    ):
        PanopticSegmentation.from_segments(ids, infos)
    with pytest.raises(TypeError, match="^thing_ids: expected ints, found int"):
        PanopticSegmentation.from_segments(ids, infos, thing_ids=1)


def test_many_unlisted_segments_are_not_all_printed():
    with pytest.raises(ValueError, match=r"not listed: \[1, 2, .*10\], \.\.\.$"):
        PanopticTarget.from_segments(torch.arange(1, 13).view(3, 4), [], void_id=0)


def test_maps_of_several_blocks(monkeypatch):
    """Runs of large maps are found block by block, with the same numbers, areas and errors."""
    from pps_torch.formats import runs

    ids = torch.randint(0, 40, (37, 11), generator=torch.Generator().manual_seed(0)) * 7
    infos = [{"id": int(i), "category_id": 1} for i in ids.unique().flip(0).tolist() if i]
    whole = PanopticSegmentation.from_segments(ids, infos)
    for block in (1, 30, 200):
        monkeypatch.setattr(runs, "_BLOCK", block)
        found = PanopticSegmentation.from_segments(ids, infos)
        assert all(torch.equal(a, b) for a, b in zip(found, whole))
        with pytest.raises(ValueError, match="not listed: \\[7, 14\\]"):
            PanopticSegmentation.from_segments(ids, [i for i in infos if i["id"] > 14])


def test_ids_on_another_device_get_the_same_numbers(monkeypatch):
    """Another device than the CPU, which the CPU is made to play."""
    from pps_torch.formats import segment_numbers

    ids = torch.tensor([[9, 9, 0], [4, 300, 9]])
    infos = [{"id": i, "category_id": 1} for i in (300, 9, 4)]
    expected = PanopticSegmentation.from_segments(ids, infos)
    monkeypatch.setattr(segment_numbers, "is_on_host", lambda _: False)
    found = PanopticSegmentation.from_segments(ids, infos)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected))
    with pytest.raises(ValueError, match=r"not listed: \[4\]"):
        PanopticSegmentation.from_segments(ids, infos[:2])
