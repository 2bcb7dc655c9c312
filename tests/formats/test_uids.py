"""uids: digits, absent levels, refused numbers, round trips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pps_torch import decode_uids, encode_uids
from pps_torch.formats.uids import is_legal_uid
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES
from tests.oracles import uids as oracle

LEGAL_UIDS = st.one_of(st.integers(0, 99), st.integers(1000, 99_999_99))


@pytest.mark.parametrize(
    "uid, expected, error",
    [
        (0, (0, -1, -1), None),
        (7, (7, -1, -1), None),
        (99, (99, -1, -1), None),
        (1000, (1, 0, -1), None),
        (24_003, (24, 3, -1), None),
        (99_999, (99, 999, -1), None),
        (1_000_00, (1, 0, 0), None),
        (24_003_00, (24, 3, 0), None),
        (24_003_02, (24, 3, 2), None),
        (99_999_99, (99, 999, 99), None),
        (100, None, "expected non-negative numbers of 1, 2 or at least 4 digits"),
        (999, None, "expected non-negative numbers of 1, 2 or at least 4 digits"),
        (-1, None, "expected non-negative numbers"),
        (-24_003_02, None, "expected non-negative numbers"),
    ],
)
def test_decode(uid, expected, error, device):
    uids = torch.tensor([uid], device=device)
    if error:
        with pytest.raises(ValueError, match=f"^uids: {error}") as refused:
            decode_uids(uids, validate=True)
        assert str(uid) in str(refused.value)
    else:
        assert tuple(level.item() for level in decode_uids(uids)) == expected
        assert encode_uids(*decode_uids(uids)).item() == uid


@pytest.mark.parametrize(
    "levels, uid, error",
    [
        ((24, -1, -1), 24, None),
        ((24, 0, -1), 24_000, None),
        ((24, 3, 0), 24_003_00, None),
        ((24, 1000, -1), None, "999"),
        ((24, 3, 100), None, "99"),
        ((-1, -1, -1), None, "sids"),
        ((24, -1, 2), None, "part"),
        ((0, 1, -1), None, "sid 0"),
        ((100, -1, -1), None, "99"),
    ],
)
def test_encode(levels, uid, error):
    levels = [torch.tensor(level) for level in levels]
    if error:
        with pytest.raises(ValueError, match=error):
            encode_uids(*levels)
    else:
        assert encode_uids(*levels).item() == uid


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(LEGAL_UIDS, min_size=1, max_size=30))
def test_decode_as_the_oracle_and_back(numbers):
    uids = torch.tensor(numbers)
    levels = decode_uids(uids)
    for ours, theirs in zip(levels, oracle.decode_uids(uids.numpy())):
        assert np.array_equal(ours.numpy(), theirs)
    assert torch.equal(encode_uids(*levels), uids)


@pytest.mark.parametrize("dtype", [torch.int8, *INTEGER_DTYPES])
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_any_shape_and_integer_dtype(batch, dtype, device):
    uids = torch.tensor([0, 24, 99], dtype=dtype, device=device).expand(*batch, 2, 3)
    levels = decode_uids(uids, validate=True)
    assert torch.equal(encode_uids(*levels, validate=True), uids.long())
    for level, expected in zip(levels, ([0, 24, 99], [-1] * 3, [-1] * 3)):
        assert level.shape == uids.shape and level.device == uids.device
        assert level.reshape(-1, 3).tolist() == [expected] * (uids.numel() // 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_a_uid_that_its_levels_dtype_cannot_hold(dtype):
    sid = torch.iinfo(dtype).max
    levels = [torch.tensor([level], dtype=dtype) for level in (sid, 3, 2)]
    for validate in (True, False):
        uids = encode_uids(*levels, validate=validate)
        assert uids.dtype == torch.int64 and uids.item() == sid * 100_000 + 302
    with pytest.raises(ValueError, match=r"^encode_uids: expected sids in 0\.\.92233720368546, "):
        encode_uids(torch.tensor([1 << 60]), *levels[1:])


@pytest.mark.parametrize("wrong", [torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)])
def test_maps_of_numbers_that_are_no_integers_are_refused(wrong):
    with pytest.raises(TypeError, match="^uids: "):
        decode_uids(wrong)
    with pytest.raises(TypeError, match="^iids: "):
        encode_uids(torch.zeros(2, 2, dtype=torch.int64), wrong, wrong)


def test_levels_of_different_shapes_are_refused():
    sids = torch.ones(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^pids: .*\(2, 3\).*\(3, 2\)"):
        encode_uids(sids, sids, sids.T)
    with pytest.raises(ValueError, match="^iids: expected a tensor on cpu, found meta"):
        encode_uids(sids, sids.to("meta"), sids)
    with pytest.raises(TypeError, match="^uids: expected a torch.Tensor, found list"):
        decode_uids([7])


@pytest.mark.parametrize("dtype", [torch.int8, *INTEGER_DTYPES])
def test_uids_of_three_digits_are_illegal_in_any_dtype(dtype):
    """Neither 100 nor 255 is taken for more than 999, which a byte does not hold."""
    uids = torch.tensor([99, 100, torch.iinfo(dtype).max]).clamp(max=torch.iinfo(dtype).max)
    legal = [True, False, torch.iinfo(dtype).max > 999]
    assert is_legal_uid(uids.to(dtype)).tolist() == legal


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_wide_unsigned_integers_are_refused_by_name(dtype):
    with pytest.raises(TypeError, match=f"uids: expected uint8 or a signed .*, found {dtype}"):
        decode_uids(torch.tensor([7], dtype=dtype))
