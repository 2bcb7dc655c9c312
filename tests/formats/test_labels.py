"""Panoptic labels: the three orders that a bare "id % 1000" leaves open."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pps_torch import decode_labels, encode_labels
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES

ORDERS = ["category_major", "instance_major", "cityscapes"]


@pytest.mark.parametrize(
    "category, instance, divisor, order, label, error",
    [
        (26, 3, 1000, "category_major", 26_003, None),  # Detectron2, deeplab2
        (26, 3, 1000, "instance_major", 3_026, None),  # mmdetection
        (26, 0, 1000, "category_major", 26_000, None),
        (26, 0, 1000, "instance_major", 26, None),
        (26, 255, 256, "category_major", 26 * 256 + 255, None),
        (0, 0, 1, "category_major", 0, None),
        (7, -1, 1000, "cityscapes", 7, None),  # stuff, as createPanopticImgs.py reads it
        (26, -1, 1000, "cityscapes", 26, None),  # a crowd
        (26, 3, 1000, "cityscapes", 26_003, None),
        (0, -1, 1000, "cityscapes", 0, None),
        (999, -1, 1000, "cityscapes", 999, None),
        (1, 0, 1000, "cityscapes", 1000, None),
        (26, 1000, 1000, "category_major", None, "instance 1000: 27000 would .* 27, instance 0"),
        (1000, 1, 1000, "instance_major", None, "category 1000, instance 1: 2000 would"),
        (26, -1, 1000, "category_major", None, "category 26, instance -1"),
        (26, -1, 1000, "instance_major", None, "category 26, instance -1"),
        (26, 1000, 1000, "cityscapes", None, "'cityscapes', .*category 26, instance 1000"),
        (0, 3, 1000, "cityscapes", None, "category 0, instance 3: 3 would mean category 3,"),
        (1000, -1, 1000, "cityscapes", None, "category 1000, instance -1"),
        (26, 3, 1000, "row_major", None, "order: .*row_major"),
        (26, 3, 0, "category_major", None, "divisor: .*0"),
    ],
)
def test_one_label(category, instance, divisor, order, label, error):
    ids = torch.tensor([category]), torch.tensor([instance])
    if error:
        with pytest.raises(ValueError, match=error):
            encode_labels(*ids, divisor, order, validate=True)
    else:
        labels = encode_labels(*ids, divisor, order)
        assert labels.tolist() == [label]
        assert decode_labels(labels, divisor, order) == ids


@settings(derandomize=True, max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 999), st.integers(0, 999)), min_size=1, max_size=20),
    st.sampled_from(ORDERS),
)
def test_round_trip(pairs, order):
    categories, instances = torch.tensor(pairs).T
    found = decode_labels(encode_labels(categories, instances, 1000, order), 1000, order)
    assert torch.equal(found[0], categories) and torch.equal(found[1], instances)


@pytest.mark.parametrize("order", ORDERS)
def test_negative_labels_are_void_and_so_are_negative_categories(order, device):
    void = torch.tensor([-1, -7], device=device)
    for level in decode_labels(void, 1000, order):
        assert level.tolist() == [-1, -1]
    assert encode_labels(void, torch.tensor([0, 5], device=device), 1000, order).tolist() == [
        -1,
        -1,
    ]


@pytest.mark.parametrize("dtype", [torch.int8, *INTEGER_DTYPES])
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_labels_do_not_overflow_a_narrow_dtype(batch, dtype):
    ids = torch.full((*batch, 2, 2), 100, dtype=dtype)
    labels = encode_labels(ids, ids, 1000, "category_major", validate=True)
    assert decode_labels(ids, 7, "category_major")[0].unique() == 14
    assert labels.shape == ids.shape and torch.all(labels == 100_100)


def test_wrong_types_and_shapes_are_refused():
    ids = torch.ones(2, 3, dtype=torch.int64)
    with pytest.raises(TypeError, match="^labels: "):
        decode_labels(ids.float(), 1000, "category_major")
    with pytest.raises(TypeError, match="^categories: "):
        encode_labels(ids.float(), ids, 1000, "category_major")
    with pytest.raises(ValueError, match=r"^instances: .*\(2, 3\).*\(3, 2\)"):
        encode_labels(ids, ids.T, 1000, "category_major")
    with pytest.raises(ValueError, match="^instances: expected a tensor on cpu, found meta"):
        encode_labels(ids, ids.to("meta"), 1000, "category_major")
    for no_tensor in ([[1]], None):
        with pytest.raises(TypeError, match="^labels: expected a torch.Tensor, found"):
            decode_labels(no_tensor, 1000, "category_major")
        with pytest.raises(TypeError, match="^instances: expected a torch.Tensor, found"):
            encode_labels(ids, no_tensor, 1000, "category_major")


@pytest.mark.parametrize(
    ("divisor", "error"),
    [
        (1000.0, TypeError),
        (1000.5, TypeError),
        (None, TypeError),
        (True, TypeError),
        (0, ValueError),
        (1 << 63, ValueError),
    ],
)
def test_a_divisor_is_a_positive_int(divisor, error):
    with pytest.raises(error, match="^divisor: expected an int"):
        decode_labels(torch.tensor([1001]), divisor, "category_major")


@pytest.mark.parametrize("kind", [np.int64, np.int16, np.uint8])
def test_a_divisor_may_be_an_int_of_numpy(kind):
    labels = encode_labels(torch.tensor([26]), torch.tensor([3]), kind(100), "category_major")
    assert labels.item() == 2603
    assert decode_labels(labels, kind(100), "category_major") == (26, 3)


@pytest.mark.parametrize("order", ["category_major", "instance_major"])
@pytest.mark.parametrize("divisor", [1, 256, 1000, (1 << 62) + 1])
def test_the_highest_label_of_64_bits(order, divisor):
    highest = torch.iinfo(torch.int64).max
    upper, lower = torch.tensor([highest // divisor]), torch.tensor([highest % divisor])
    ids = (upper, lower) if order == "category_major" else (lower, upper)
    assert encode_labels(*ids, divisor, order).item() == highest
    assert decode_labels(torch.tensor([highest]), divisor, order) == ids
    if divisor > 1:
        beyond = (upper, lower + 1) if order == "category_major" else (lower + 1, upper)
        with pytest.raises(ValueError, match="^categories, instances: expected ids"):
            encode_labels(*beyond, divisor, order)


@pytest.mark.parametrize("order", ["category_major", "cityscapes"])
def test_labels_beyond_64_bits_are_refused(order):
    with pytest.raises(ValueError, match="found category 1099511627776"):
        encode_labels(torch.tensor([1 << 40]), torch.tensor([0]), 1 << 30, order)


def test_unchecked_ids_that_do_not_fit_mean_others():
    ids = torch.tensor([26]), torch.tensor([1003])
    labels = encode_labels(*ids, 1000, "category_major", validate=False)
    assert decode_labels(labels, 1000, "category_major") == (torch.tensor([27]), torch.tensor([3]))
