"""Ground truth as a PPS map."""

import torch

from pps_torch import EvalSpec
from pps_torch.visualization import colorize_pps, ground_truth_pps


def test_levels_of_a_uid():
    spec = EvalSpec.load("cpp_default")
    uids = torch.tensor([[0, 1, 7, 24, 26_000, 26_003_05, 26_003_00, 33_001, 99]])
    pps = ground_truth_pps(uids, spec)
    assert pps[:, 0].T.tolist() == [
        [255, 0, 255],  # unlabelled
        [255, 0, 255],  # a class that is not evaluated
        [7, 0, 1],
        [24, 0, 0],  # a crowd
        [26, 1, 0],  # no part level
        [26, 4, 5],
        [26, 4, 0],  # an undefined part
        [33, 2, 1],
        [255, 0, 255],  # a class that the dataset does not have
    ]
    assert colorize_pps(pps, spec).shape == (3, 1, 9)


def test_batches():
    spec = EvalSpec.load("ppp_default")
    uids = torch.tensor([[[1, 15], [15_001_03, 0]], [[15_001, 0], [0, 7]]])
    pps = ground_truth_pps(uids, spec)
    assert torch.equal(pps, torch.stack([ground_truth_pps(image, spec) for image in uids]))
