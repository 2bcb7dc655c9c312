"""The pinned pair of torch and torchvision belongs together."""

import pytest
import torch


def test_torchvision_runs_its_compiled_operations():
    torchvision = pytest.importorskip("torchvision")
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [4, 4, 6, 6]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.6, 0.7]), 0.5)
    assert kept.tolist() == [2, 1]
