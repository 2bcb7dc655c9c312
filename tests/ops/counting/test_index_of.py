"""Position of ids in a list."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.counting.index_of import index_of
from tests.factories import INTEGER_DTYPES


@pytest.mark.parametrize(
    "ids, expected",
    [
        ([23, 7, 11], [[1, 0], [-1, 2]]),
        ([7], [[0, -1], [-1, -1]]),
        ([], [[-1, -1], [-1, -1]]),
        ([255, 8], [[-1, -1], [0, -1]]),
    ],
)
@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_by_hand(ids, expected, dtype, device):
    values = torch.tensor([[7, 23], [255, 11]], dtype=dtype, device=device)
    found = index_of(values, torch.tensor(ids, dtype=torch.int64, device=device))
    assert found.dtype == torch.int32 and found.tolist() == expected


def test_negative_values_and_no_values():
    assert index_of(torch.tensor([-1, 3]), torch.tensor([3, -1])).tolist() == [1, 0]
    assert index_of(torch.zeros(0, 2).long(), torch.tensor([3])).shape == (0, 2)


class IndexOf(torch.nn.Module):
    def forward(self, values, ids):
        return index_of(values, ids)


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on")
def test_in_an_exported_program():
    """Ids that a narrow dtype cannot hold match nothing, also where they wrap to a value."""
    ids = torch.tensor([300, 7, -5, 2**31 - 1, 2**40 + 9, 0, 255, 2**16, 2**31 + 3, 2**40])
    for dtype in (torch.int32, torch.uint8, torch.int64):
        limits = torch.iinfo(dtype)
        some = [0, 3, 7, 9, 44, limits.min, limits.max, 2**16 & limits.max, 1]
        values = torch.tensor(some, dtype=dtype)
        shapes = ({0: torch.export.Dim.DYNAMIC},) * 2
        program = torch.export.export(IndexOf(), (values, ids), dynamic_shapes=shapes).module()
        for some in (ids, ids[:2], ids[3:7], ids[5:8].flip(0)):
            found = program(values[: len(some)], some)
            assert torch.equal(found, index_of(values[: len(some)], some))
