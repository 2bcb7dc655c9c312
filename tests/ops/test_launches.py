"""Launches: the variant of a kernel is looked up once where the facts are equal, and only there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pps_torch.ops.launches import Launcher, num_blocks
from tests.triton_support import needs_triton


class Kernel:
    """Stands for a kernel of three arguments; writes its launches down."""

    def __init__(self):
        self.params = [
            SimpleNamespace(name="a_ptr", has_default=False, default=None),
            SimpleNamespace(name="number", has_default=False, default=None),
            SimpleNamespace(name="BLOCK", has_default=True, default=64),
        ]
        self.arg_names = [param.name for param in self.params]
        self.lookups, self.launches = [], []

    def __getitem__(self, grid):
        def look_up(**arguments):
            self.lookups.append((grid, arguments))
            return Variant(self)

        return look_up


class Variant:
    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        return lambda *arguments: self.kernel.launches.append((grid, arguments))


def launches(kernel, *facts):
    Launcher(*facts)(kernel, 3, number=facts[-1], a_ptr="a", num_warps=2)


def test_a_variant_is_looked_up_once_and_gets_all_arguments():
    kernel = Kernel()
    for _ in range(2):
        launches(kernel, "once", torch.zeros(3), 5)
    assert kernel.lookups == [((3, 1, 1), {"number": 5, "a_ptr": "a", "num_warps": 2})]
    assert kernel.launches == [((3, 1, 1), ("a", 5, 64))]


@pytest.mark.parametrize(
    "one, other",
    [
        ((torch.zeros(3), 1), (torch.zeros(3), 1.0)),
        ((torch.zeros(3), 1), (torch.zeros(3), True)),
        ((torch.zeros(3), 1), (torch.zeros(4), 1)),
        ((torch.zeros(3), 1), (torch.zeros(3).int(), 1)),
        ((torch.zeros(3), 1), (torch.zeros(4)[1:], 1)),
        ((torch.zeros(3, 2), 1), (torch.zeros(2, 3).mT, 1)),
    ],
)
def test_facts_that_differ_share_no_variant(one, other):
    kernel = Kernel()
    launches(kernel, "differ", *one)
    launches(kernel, "differ", *other)
    assert len(kernel.lookups) == 2 and not kernel.launches


@needs_triton
def test_doubles_that_are_equal_have_equal_bits():
    from pps_torch.ops.painting.triton.doubles import bits_of_double

    assert bits_of_double(-0.0) == bits_of_double(0.0) == bits_of_double(0) == 0
    assert bits_of_double(-2.0) == -(1 << 62)


def test_blocks_cover_a_length():
    assert [num_blocks(length, 4) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]
