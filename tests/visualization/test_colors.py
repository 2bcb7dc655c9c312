"""Shades that differ, tables that match the spec."""

import pytest
import torch

from pps_torch import EvalSpec
from pps_torch.visualization.colors import (
    NUM_SHADES,
    default_colors,
    part_colors,
    shade,
    spec_paints,
)
from pps_torch.visualization.oklab import rgb_to_oklab


@pytest.mark.parametrize("color", [(0, 0, 142), (220, 20, 60), (255, 255, 255), (0, 0, 0)])
def test_shades_differ_and_shade_zero_is_the_color(color):
    shades = shade(torch.tensor([color], dtype=torch.uint8), torch.arange(NUM_SHADES))
    assert tuple(shades[0].tolist()) == color
    assert len({tuple(rgb) for rgb in shades.tolist()}) > 0.7 * NUM_SHADES
    steps = (rgb_to_oklab(shades)[1:] - rgb_to_oklab(shades)[:-1]).norm(dim=-1)
    assert steps.min() > 0.02


@pytest.mark.parametrize("num_parts", [0, 1, 2, 5, 24])
@pytest.mark.parametrize("color", [(0, 0, 142), (128, 128, 128), (255, 0, 0)])
def test_parts_of_a_class_have_their_own_colors(color, num_parts):
    unlike, parts = part_colors([(9, 9, 9), color], [3, num_parts])
    assert len({color, *parts}) == num_parts + 1 and len(unlike) == 3
    assert [parts] == part_colors([color], [num_parts])


def test_default_colors_differ():
    assert default_colors(2000)[:140] == default_colors(140)
    for count, least in ((140, 0.01), (1000, 0.008), (2000, 0.001)):
        lab = rgb_to_oklab(torch.tensor(default_colors(count), dtype=torch.uint8))
        assert torch.pdist(lab).min() > least


@pytest.mark.parametrize("name", ["cpp_default", "cpp_grouped", "ppp_default", "ppp_107"])
def test_paints_cover_the_spec(name):
    spec = EvalSpec.load(name)
    paints = spec_paints(spec, torch.device("cpu"))
    assert paints is spec_paints(spec, torch.device("cpu"))
    assert len(paints.colors) == 1 + len(paints.members)
    for paint, (sid, pid) in enumerate(paints.members, start=1):
        assert paints.paint_of_pair(sid, pid) == paint
        if pid == 0:
            assert tuple(paints.colors[paint, 0].tolist()) == spec.colors[sid]
        if sid in spec.stuff and pid == 0:
            assert (paints.colors[paint] == paints.colors[paint, 0]).all()
    assert [sid for sid, pid in paints.members if pid == 0] == list(spec.eval_sids)
    assert (paints.paint_of[paints.row_of_sid[spec.ignore_label]] == 0).all()
