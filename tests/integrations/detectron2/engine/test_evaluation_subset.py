"""The subset of an evaluation is evenly spread and always the same."""

from __future__ import annotations

import pytest

from pps_torch.integrations.detectron2.engine.evaluation_subset import fixed_subset


@pytest.mark.parametrize(
    "num_images, count, expected",
    [
        (10, 3, [0, 3, 6]),
        (10, 10, list(range(10))),
        (10, 0, list(range(10))),
        (3, 8, [0, 1, 2]),
        (0, 4, []),
        (0, 0, []),
    ],
)
def test_subset_is_spread_evenly(num_images, count, expected):
    assert fixed_subset(num_images, count) == expected


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="count: expected 0 or more, found -1"):
        fixed_subset(10, -1)
