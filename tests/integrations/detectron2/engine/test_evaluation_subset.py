"""The subset of an evaluation is fixed; a model gets its modes back."""

from __future__ import annotations

import pytest
from torch import nn

from pps_torch.integrations.detectron2.engine.evaluation_subset import fixed_subset, modes_kept


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
    with pytest.raises(ValueError, match="count: expected 0 or more, got -1"):
        fixed_subset(10, -1)


@pytest.mark.parametrize("fails", [False, True])
def test_each_module_gets_its_mode_back(fails):
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).train()
    model[1].eval()
    try:
        with modes_kept(model):
            model.eval()
            model[1].train()
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert [module.training for module in model.modules()] == [True, True, False]
