"""Runs of pixels: those of the same values, added up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pps_torch.formats.runs import distinct_runs


def test_equal_runs_are_one():
    values = np.array([7, 5, 7, 7], np.int32), np.array([0, 2, 0, 1], np.uint8)
    (ids, others), lengths = distinct_runs(values, np.array([3, 1, 4, 0]))
    assert ids.tolist() == [5, 7, 7] and ids.dtype == np.int32
    assert others.tolist() == [2, 0, 1] and others.dtype == np.uint8
    assert lengths.tolist() == [1, 7, 0] and lengths.dtype == np.int64


@pytest.mark.parametrize(
    "low, high", [(0, 3), (-3, 3), (0, 2**24), (-(2**31), 2**31), (-(2**63), 2**63 - 1)]
)
def test_sums_are_those_of_a_loop(low, high):
    """Lengths of 20 bits fit beside the first values, and in pieces beside those of 24 bits; the
    last values leave no bits for any, so places are sorted."""
    rng = np.random.default_rng(0)
    known = rng.integers(low, high, (2, 6), endpoint=True)
    known[:, 0], known[:, 1] = low, high
    for num_runs in (1, 2, 300):
        first, second = (column[rng.integers(0, 6, num_runs)] for column in known)
        lengths = rng.integers(0, 1 << 20, num_runs)
        expected: Counter[tuple[int, int]] = Counter()
        for a, b, length in zip(first.tolist(), second.tolist(), lengths.tolist()):
            expected[a, b] += length
        found, sums = distinct_runs((first, second), lengths)
        pairs = list(zip(*(column.tolist() for column in found)))
        assert pairs == sorted(pairs) and dict(zip(pairs, sums.tolist())) == dict(expected)


def test_no_runs_stay_none():
    none = np.empty(0, np.int64)
    assert distinct_runs((none,), none)[1].shape == (0,)
