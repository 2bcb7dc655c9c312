"""The whole street, drawn: a photo and its ground truth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from pps_torch.synthetic.canvas import Canvas
from pps_torch.synthetic.labels import InstanceNumbers
from pps_torch.synthetic.people import people
from pps_torch.synthetic.surroundings import (
    buildings,
    draw_ego_vehicle,
    draw_ground,
    sky,
    street_furniture,
    trees,
)
from pps_torch.synthetic.vehicles import traffic


class StreetScene(NamedTuple):
    """A drawn street: a photo and its ground truth.

    Attributes:
        photo: `(3, H, W)` uint8, RGB.
        uids: `(H, W)` int32, panoptic_parts uids of the Cityscapes classes.
    """

    photo: Tensor
    uids: Tensor


def make_street(size: tuple[int, int] = (512, 1024), seed: int = 0) -> StreetScene:
    """Draw a street; the same size and seed give the same street.

    Args:
        size: (height, width) in pixels.
        seed: which street.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, sky(size, rng))
    instances = InstanceNumbers()
    draw_ground(canvas)
    for _, draw in sorted(buildings(rng), key=lambda item: -item[0]):
        draw(canvas)
    objects = [
        *trees(rng),
        *street_furniture(rng),
        *traffic(rng, instances),
        *people(rng, instances),
    ]
    for _, draw in sorted(objects, key=lambda item: -item[0]):
        draw(canvas)
    draw_ego_vehicle(canvas)
    return StreetScene(canvas.photo_tensor(rng), canvas.uids_tensor())
