"""Operators: who looks at them sees the operator, nobody else pays for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from pps_torch.ops.direct_operator import direct_operator

CALLS = []


@direct_operator("pps_torch_tests::summed")
def summed(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    CALLS.append(len(others))
    return first + sum(others)


@summed.register_fake
def _(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    return torch.empty_like(first)


def test_the_function_is_called_where_nothing_looks():
    CALLS.clear()
    assert summed(torch.ones(2), others=[torch.ones(2)]).tolist() == [2, 2]
    assert CALLS == [1]


@pytest.mark.parametrize("which", [0, 1])
def test_fake_tensors_reach_the_operator_outside_of_their_mode(which):
    CALLS.clear()
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    first, other = torch.ones(2), torch.ones(2)
    if which == 0:
        first = mode.from_tensor(first)
    else:
        other = mode.from_tensor(other)
    assert isinstance(summed(first, [other]), FakeTensor)
    assert isinstance(summed(first, (other,)), FakeTensor)
    assert isinstance(summed(first=first, others=[other]), FakeTensor)
    assert not CALLS


def test_the_operator_has_no_gradient():
    with FakeTensorMode():
        first = torch.ones(2, requires_grad=True)
        assert not summed(first, [torch.ones(2)]).requires_grad
