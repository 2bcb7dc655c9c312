"""Blending, and the errors about sizes."""

import pytest
import torch

from pps_torch.visualization import overlay


def flat(value, height=2, width=3):
    return torch.full((3, height, width), value, dtype=torch.uint8)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 100), (0.5, 150), (0.25, 125), (1, 200)])
def test_blend(alpha, expected):
    void = torch.tensor([[True, False, False], [False, False, False]])
    blend = overlay(flat(100), flat(200), void, alpha)
    assert blend.dtype == torch.uint8
    assert (blend[:, 0, 0] == 100).all()
    assert (blend[:, 1] == expected).all()


def test_batch():
    photos, maps = torch.stack([flat(0), flat(50)]), torch.stack([flat(100), flat(100)])
    blend = overlay(photos, maps, torch.zeros(2, 2, 3, dtype=torch.bool))
    assert blend[:, 0, 0, 0].tolist() == [50, 75]


@pytest.mark.parametrize(
    ("photo", "void", "alpha", "message"),
    [
        (flat(0, 4, 6), (2, 3), 0.5, "photo: expected .* 2 x 3, found 4 x 6$"),
        (flat(0), (3, 2), 0.5, "void: expected .* 2 x 3, found 3 x 2"),
        (flat(0), (2, 3), 1.5, "alpha: expected a fraction in 0..1, found 1.5"),
    ],
)
def test_errors(photo, void, alpha, message):
    with pytest.raises(ValueError, match=message):
        overlay(photo, flat(200), torch.zeros(void, dtype=torch.bool), alpha)
