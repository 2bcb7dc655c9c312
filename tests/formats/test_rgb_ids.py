"""COCO's RGB ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import ids_to_rgb, rgb_to_ids
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES


@pytest.mark.parametrize(
    "segment_id, rgb, error",
    [
        (0, [0, 0, 0], None),
        (255, [255, 0, 0], None),
        (256, [0, 1, 0], None),
        (65536, [0, 0, 1], None),
        (3 + 256 * 2 + 65536 * 1, [3, 2, 1], None),
        ((1 << 24) - 1, [255, 255, 255], None),
        (1 << 24, None, "16777216"),
        (-1, None, "-1"),
    ],
)
def test_one_id(segment_id, rgb, error, device):
    ids = torch.tensor([[segment_id]], device=device)
    if error:
        with pytest.raises(ValueError, match=f"^ids: .*{error}"):
            ids_to_rgb(ids, validate=True)
    else:
        assert ids_to_rgb(ids).tolist() == [[rgb]]
        assert rgb_to_ids(torch.tensor([[rgb]], device=device)).tolist() == [[segment_id]]


@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_round_trip_in_any_batch(batch, device):
    ids = np.random.default_rng(0).integers(0, 1 << 24, (*batch, 5, 7))
    ids = torch.from_numpy(ids).to(device)
    rgb = ids_to_rgb(ids)
    assert rgb.dtype == torch.uint8 and rgb.shape == (*batch, 5, 7, 3)
    assert torch.equal(rgb_to_ids(rgb), ids.int())


@pytest.mark.parametrize("dtype", [torch.int8, *INTEGER_DTYPES])
def test_any_integer_dtype(dtype):
    highest = min(torch.iinfo(dtype).max, 255)
    rgb = torch.tensor([[highest, 1, 2]], dtype=dtype)
    assert rgb_to_ids(rgb, validate=True).tolist() == [highest + 256 + 2 * 65536]
    highest = min(torch.iinfo(dtype).max, (1 << 24) - 1)
    ids = torch.tensor([0, 1, highest], dtype=dtype)
    assert rgb_to_ids(ids_to_rgb(ids, validate=True)).tolist() == ids.tolist()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_negative_values_are_refused_in_any_dtype(dtype):
    with pytest.raises(ValueError, match=r"^rgb: expected 0\.\.255, found -2\.\.1$"):
        rgb_to_ids(torch.tensor([[-2, 0, 1]], dtype=dtype))
    with pytest.raises(ValueError, match=r"^ids: expected 0\.\.16777215, found -2\.\.1$"):
        ids_to_rgb(torch.tensor([-2, 1], dtype=dtype))


@pytest.mark.parametrize(
    "wrong, error",
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), ValueError),
        (torch.zeros((), dtype=torch.uint8), ValueError),
        (torch.zeros(4, 4, 3), TypeError),
    ],
)
def test_what_is_no_rgb_image_is_refused(wrong, error):
    with pytest.raises(error, match="^rgb: "):
        rgb_to_ids(wrong)


def test_ids_of_a_strided_view():
    ids = torch.arange(12).reshape(3, 4)
    assert torch.equal(rgb_to_ids(ids_to_rgb(ids.T)), ids.T.int())


@pytest.mark.parametrize("value", [256, -1])
def test_values_that_are_no_bytes_are_refused(value):
    with pytest.raises(ValueError, match=r"^rgb: expected 0\.\.255, found"):
        rgb_to_ids(torch.tensor([[[value, 0, 0]]]))
