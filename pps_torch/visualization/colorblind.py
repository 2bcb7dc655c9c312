"""A palette for every kind of colour vision, and how colours look to dichromats.

The first seven colours are those of Masataka Okabe and Kei Ito ("Color Universal Design", 2008)
without black, which is void here. Each further one is the colour of a grid that is farthest, in
OKLab, from all before it, from void and from the white of boundaries. A distance is what it is to
those who see it smallest: people with normal vision, protanopia, deuteranopia or tritanopia. To all
of them the first 19 colours are 0.07 apart, 59 are 0.035, and 133 are 0.02, which is just visible;
so there is no telling more apart: 500 are 0.007 apart (0.016 to normal vision), 2,000 are 0.001.
After 2,162 some dichromat sees no difference to an earlier one, and the list begins anew.

Dichromatic vision is simulated as by G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A
Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009,
at severity 1.0.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import cycle, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pps_torch.checks import check_uint8
from pps_torch.visualization.oklab import Color, linear_to_rgb, polar, rgb_to_linear, rgb_to_oklab

OKABE_ITO = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermillion
    (204, 121, 167),  # reddish purple
)
DEFICIENCIES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
_RESERVED = ((0, 0, 0), (255, 255, 255))  # void and boundaries
_DARKEST, _LIGHTEST = 0.36, 0.95  # OKLab lightness of further colours
_MOST_CHROMA = 0.16
_GRID_STEP = 15  # of the colours among which further ones are chosen


def simulate_deficiency(rgb: Tensor, deficiency: str) -> Tensor:
    """Simulate how colours look to a dichromat.

    Args:
        rgb: `(..., 3)` uint8.
        deficiency: `"protanopia"`, `"deuteranopia"` or `"tritanopia"`.

    Returns:
        `(..., 3)` uint8.

    Raises:
        TypeError: for colours that are not uint8.
        ValueError: for another deficiency, or colours of another shape.

    Example:
        >>> import torch
        >>> red_and_green = torch.tensor([[200, 0, 0], [90, 90, 0]], dtype=torch.uint8)
        >>> simulate_deficiency(red_and_green, "protanopia")
        tensor([[84, 73,  0],
                [98, 86,  0]], dtype=torch.uint8)
    """
    check_uint8("rgb", rgb)
    if rgb.ndim == 0 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb: expected shape (..., 3), found {tuple(rgb.shape)}")
    if deficiency not in DEFICIENCIES:
        raise ValueError(f"deficiency: expected one of {[*DEFICIENCIES]}, found {deficiency!r}")
    matrix = torch.tensor(DEFICIENCIES[deficiency], dtype=torch.float64, device=rgb.device)
    return linear_to_rgb(rgb_to_linear(rgb) @ matrix.T)


def colorblind_colors(count: int) -> tuple[Color, ...]:
    """List the first `count` colours of the palette; longer lists begin with the shorter ones."""
    return tuple(islice(cycle((*OKABE_ITO, *_farthest_colors(count - len(OKABE_ITO)))), count))


@lru_cache(maxsize=16)
def _farthest_colors(count: int) -> list[Color]:
    """Choose up to `count` colours of the grid, each the farthest from all before it."""
    steps = torch.arange(0, 256, _GRID_STEP, dtype=torch.uint8, device="cpu")
    candidates = torch.cartesian_prod(steps, steps, steps)
    lightness, chroma, _ = polar(rgb_to_oklab(candidates))
    is_calm = (lightness >= _DARKEST) & (lightness <= _LIGHTEST) & (chroma <= _MOST_CHROMA)
    candidates = candidates[is_calm]
    looks = _looks(candidates)
    taken = _looks(torch.tensor([*_RESERVED, *OKABE_ITO], dtype=torch.uint8, device="cpu"))
    distance = np.min([_worst_distance(looks, taken[..., [n]]) for n in range(taken.shape[-1])], 0)
    chosen: list[int] = []
    while len(chosen) < count and distance.any():
        chosen.append(int(distance.argmax()))
        np.minimum(distance, _worst_distance(looks, looks[..., [chosen[-1]]]), out=distance)
    return [(red, green, blue) for red, green, blue in candidates[chosen].tolist()]


def _looks(rgb: Tensor) -> NDArray[np.float32]:
    """How colours look in OKLab, `(3, 4, N)` float32: to normal vision and to each dichromat.

    In NumPy, as the many small steps over them take half the time there.
    """
    seen = [rgb, *(simulate_deficiency(rgb, deficiency) for deficiency in DEFICIENCIES)]
    return np.ascontiguousarray(rgb_to_oklab(torch.stack(seen)).permute(2, 0, 1).float().numpy())


def _worst_distance(looks: NDArray[np.float32], look: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances `(N,)` to one look `(3, 4, 1)`: the smallest of the four."""
    difference = looks - look
    difference *= difference
    distances: NDArray[np.float32] = (difference[0] + difference[1] + difference[2]).min(0)
    return distances
