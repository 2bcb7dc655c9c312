"""Joint counts of labels that are looked up from ids, by hand."""

import pytest
import torch

from pps_torch.ops.scoring.label_pairs import LabelPairs
from tests.ops.twins import on_device
from tests.triton_support import BACKENDS


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend):
    gt = torch.tensor([[5, 5, 7, 7, 7], [7, 5, 5, 5, 5]], dtype=torch.uint8)
    pred = torch.tensor([[1, 2, 2, 2, 1], [2, 2, 2, 2, 2]])
    pairs = LabelPairs(*on_device((gt, pred)), backend=backend)
    is_seven, is_two = pairs.maps[0] == 7, pairs.maps[1] == 2
    counts = pairs.count(is_seven.long(), 2 * is_two.long(), 2, 3)
    assert counts.dtype == torch.int64 and counts.tolist() == [[1, 0, 5], [1, 0, 3]]
    assert pairs.num_pixels_of(is_seven).item() == 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_images(backend):
    pairs = LabelPairs(*on_device((torch.zeros(0, 9).long(),) * 2), backend=backend)
    assert pairs.count(*pairs.maps, 2, 3).tolist() == [[0] * 3] * 2


def test_images_of_too_many_pixels_are_refused():
    pixels = torch.zeros(1, 1, dtype=torch.uint8).expand(1, 1 << 30)
    with pytest.raises(ValueError, match=r"fewer than 2\*\*30 pixels"):
        LabelPairs(pixels, pixels)
