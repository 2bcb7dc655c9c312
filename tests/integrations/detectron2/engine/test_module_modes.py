"""Each module of a model gets its train or eval mode back."""

from __future__ import annotations

import pytest
from torch import nn

from pps_torch.integrations.detectron2.engine.module_modes import preserve_modes


@pytest.mark.parametrize("fails", [False, True])
def test_each_module_gets_its_mode_back(fails):
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).train()
    model[1].eval()
    try:
        with preserve_modes(model):
            model.eval()
            model[1].train()
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert [module.training for module in model.modules()] == [True, True, False]
