"""OKLab: exact round trips, and what a screen cannot show."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pps_torch.visualization import oklab
from pps_torch.visualization.oklab import limit_chroma, oklab_to_rgb, polar, rgb_to_oklab


def test_oklab_round_trip_is_exact():
    steps = torch.arange(0, 256, 15, dtype=torch.uint8)
    rgb = torch.cartesian_prod(steps, steps, steps)
    assert torch.equal(oklab_to_rgb(rgb_to_oklab(rgb)), rgb)


def test_oklab_of_white_is_lightness_one():
    lab = rgb_to_oklab(torch.tensor([255, 255, 255], dtype=torch.uint8))
    assert torch.allclose(lab, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-6)


def test_what_no_screen_can_show_keeps_lightness_and_hue():
    lab = torch.tensor([[0.7, 0.1, -0.4], [0.3, 0.4, 0.0], [0.5, 0.02, 0.03]], dtype=torch.float64)
    lightness, chroma, hue = polar(lab)
    new_lightness, new_chroma, new_hue = polar(limit_chroma(lab))
    assert torch.equal(lightness, new_lightness) and torch.allclose(hue, new_hue)
    assert (new_chroma[:2] < chroma[:2] - 0.05).all() and new_chroma[2] == chroma[2]
    shown_lightness, _, shown_hue = polar(rgb_to_oklab(oklab_to_rgb(lab)))
    assert torch.allclose(lightness, shown_lightness, atol=0.005)
    assert torch.allclose(hue[:2], shown_hue[:2], atol=0.02)


def test_nothing_is_kept_of_a_mode_of_fake_tensors():
    lab = torch.tensor([[0.5, 0.02, 0.03]], dtype=torch.float64)
    oklab._kept_inverse.cache_clear()
    with FakeTensorMode():
        oklab_to_rgb(torch.zeros(1, 3, dtype=torch.float64))
    assert torch.allclose(rgb_to_oklab(oklab_to_rgb(lab)), lab, atol=0.01)
