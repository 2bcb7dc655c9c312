"""The colour-blind-safe palette: measured with a simulation that it was not made with, too."""

import pytest
import torch

from pps_torch import EvalSpec
from pps_torch.visualization.colorblind import (
    DEFICIENCIES,
    OKABE_ITO,
    colorblind_colors,
    simulate_deficiency,
)
from pps_torch.visualization.colors import category_colors, palette_colors, spec_paints
from pps_torch.visualization.error_map import _LOOKS
from pps_torch.visualization.oklab import linear_to_rgb, rgb_to_linear, rgb_to_oklab

# Viénot, Brettel and Mollon, "Digital video colourmaps for checking the legibility of displays by
# dichromats", 1999: cone responses of the linear RGB of a CRT, and what replaces the lost one.
LMS_FROM_RGB = torch.tensor(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]],
    dtype=torch.float64,
)
VIENOT = {
    "protanopia": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
    "deuteranopia": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
}


def vienot(rgb, deficiency):
    lost = torch.tensor(VIENOT[deficiency], dtype=torch.float64)
    matrix = torch.linalg.inv(LMS_FROM_RGB) @ lost @ LMS_FROM_RGB
    return linear_to_rgb(rgb_to_linear(rgb) @ matrix.T)


def least_distance(colors, look=lambda rgb: rgb):
    """The OKLab distance of the two most similar colours, 0.02 being just visible."""
    rgb = look(torch.tensor(colors, dtype=torch.uint8))
    return float(torch.pdist(rgb_to_oklab(rgb)).min())


def looks(colors):
    """The least distance to normal vision, and to dichromats by both simulations."""
    return {
        "normal": least_distance(colors),
        **{
            d: least_distance(colors, lambda c, d=d: simulate_deficiency(c, d))
            for d in DEFICIENCIES
        },
        **{f"{d} (Viénot)": least_distance(colors, lambda c, d=d: vienot(c, d)) for d in VIENOT},
    }


def test_okabe_and_ito_come_first_and_longer_lists_begin_with_shorter_ones():
    assert colorblind_colors(7) == OKABE_ITO
    assert colorblind_colors(40)[:19] == colorblind_colors(19)
    many = colorblind_colors(2165)
    assert many[:40] == colorblind_colors(40) and len(set(many[:2162])) == 2162
    assert many[2162:] == OKABE_ITO[:3]  # the list begins anew


@pytest.mark.parametrize(("count", "least"), [(7, 0.07), (19, 0.07), (59, 0.035), (133, 0.02)])
def test_every_vision_tells_the_colors_apart(count, least):
    colors = [(0, 0, 0), (255, 255, 255), *colorblind_colors(count)]
    distances = looks(colors)
    for vision in ("normal", *DEFICIENCIES):
        assert distances[vision] > least, distances


@pytest.mark.parametrize("name", ["cpp_default", "ppp_default"])
def test_the_palette_serves_dichromats_better_than_the_class_colors(name):
    spec = EvalSpec.load(name)
    is_thing = [sid in spec.things for sid in spec.eval_sids]
    own = list(spec.colors.values())
    safe = looks(palette_colors(own, is_thing, "colorblind"))
    for vision, distance in looks(own).items():
        assert safe[vision] > distance, vision
    assert looks(own)["deuteranopia"] < 0.02


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_parts_of_a_class_differ_for_dichromats(deficiency):
    """In Cityscapes: of the at most five parts of a class."""
    spec = EvalSpec.load("cpp_default")
    paints = spec_paints(spec, torch.device("cpu"), "colorblind")
    for sid in spec.parts:
        rows = [row for row, (s, p) in enumerate(paints.members, 1) if s == sid and p]
        parts = simulate_deficiency(paints.colors[rows, 0], deficiency)
        assert torch.pdist(rgb_to_oklab(parts)).min() > 0.035


def test_errors_differ_in_every_vision():
    distances = looks([color for _, color in _LOOKS.values()])
    assert min(distances.values()) > 0.14, distances


def test_things_get_the_most_different_colors_nearest_to_their_own():
    categories = [
        {"id": 1, "name": "sky", "isthing": 0, "color": [70, 130, 180]},
        *(
            {"id": i, "name": "", "isthing": 1, "color": list(c)}
            for i, c in enumerate(OKABE_ITO, 2)
        ),
    ]
    colors = category_colors(categories, "colorblind")
    assert tuple(colors[1:]) == OKABE_ITO
    assert colors[0] == colorblind_colors(8)[7]


def test_a_simulation_keeps_grays_and_merges_what_dichromats_confuse():
    grays = torch.arange(0, 256, 5, dtype=torch.uint8).unsqueeze(1).expand(-1, 3)
    for deficiency in DEFICIENCIES:
        assert (simulate_deficiency(grays, deficiency).int() - grays.int()).abs().max() <= 1
    red_and_green = [(200, 0, 0), (90, 90, 0)]
    assert least_distance(red_and_green) > 0.15
    assert least_distance(red_and_green, lambda c: simulate_deficiency(c, "protanopia")) < 0.05
    with pytest.raises(ValueError, match=r"deficiency: expected one of .* found 'red'"):
        simulate_deficiency(grays, "red")


def test_unknown_palette():
    with pytest.raises(ValueError, match=r"palette: expected one of .* found 'rainbow'"):
        palette_colors([(1, 2, 3)], [True], "rainbow")
