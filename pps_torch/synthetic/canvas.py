"""A canvas for streets: the camera, and the two pictures that it takes, a photo and a uid map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pps_torch.synthetic.labels import SKY

Color = tuple[int, int, int]
Point = tuple[float, float, float]  # metres: x to the right, y up, z ahead


CAMERA_X, CAMERA_Y = 1.5, 2.0  # in the right lane, two metres above the road
HORIZON = 0.43  # as a fraction of the height
HAZE = (205, 216, 228)


class Canvas:
    """The photo, drawn at twice its size and then reduced, and the uid map of the same street."""

    def __init__(self, size: tuple[int, int], backdrop: np.ndarray) -> None:
        self.height, self.width = size
        self.focal = 1.75 * self.height
        self.photo = Image.fromarray(backdrop).resize((2 * self.width, 2 * self.height))
        self.uids = Image.new("I", (self.width, self.height), SKY)
        self._photo_draw = ImageDraw.Draw(self.photo)
        self._uids_draw = ImageDraw.Draw(self.uids)

    def project(self, point: Point) -> tuple[float, float]:
        """Find the column and row, in pixels of the map, at which the camera sees a point."""
        x, y, z = point
        scale = self.focal / z
        column = self.width / 2 + scale * (x - CAMERA_X)
        row = HORIZON * self.height + scale * (CAMERA_Y - y)
        return column, row

    def face(self, points: Sequence[Point], color: Color | None, uid: int | None) -> None:
        """Draw a flat polygon; without colour only on the map, without uid only on the photo."""
        pixels = [self.project(point) for point in points]
        if color is not None:
            haze = 1 - np.exp(-min(z for _, _, z in points) / 260)
            color = mix(color, HAZE, haze)
            self._photo_draw.polygon([(2 * x, 2 * y) for x, y in pixels], fill=color)
        if uid is not None:
            self._uids_draw.polygon(pixels, fill=uid)

    def disc(
        self, center: Point, radius: float, color: Color | None, uid: int | None, squeeze: float = 1
    ) -> None:
        """Draw a disc that faces the camera; `squeeze` makes it narrower."""
        x, y, z = center
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        rim = zip(squeeze * np.cos(angles), np.sin(angles), strict=True)
        self.face([(x + radius * u, y + radius * v, z) for u, v in rim], color, uid)

    def limb(
        self, start: Point, end: Point, width: float, color: Color | None, uid: int | None
    ) -> None:
        """Draw a thick line that faces the camera, with round ends."""
        along = np.array(end[:2]) - start[:2]
        aside = np.array([-along[1], along[0]]) / max(np.hypot(*along), 1e-6) * width / 2
        corners = [(start, aside), (end, aside), (end, -aside), (start, -aside)]
        self.face([(p[0] + a[0], p[1] + a[1], p[2]) for p, a in corners], color, uid)
        for point in (start, end):
            self.disc(point, width / 2, color, uid)

    def photo_tensor(self, rng: np.random.Generator) -> Tensor:
        """Return the photo with the grain of a sensor, `(3, H, W)` uint8."""
        photo = np.asarray(self.photo.reduce(2), dtype=np.float32)
        grain = rng.normal(0, 2, (self.height, self.width, 1))
        pixels = (photo + grain).clip(0, 255).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def uids_tensor(self) -> Tensor:
        """Return the uid map, `(H, W)` int32."""
        return torch.from_numpy(np.array(self.uids, dtype=np.int32))


Drawable = tuple[float, Callable[[Canvas], None]]  # nearest z, how to draw it


def mix(color: Color, other: Color, weight: float) -> Color:
    """Mix two colours: weight 0 is the first, weight 1 the other."""
    pairs = zip(color, other, strict=True)
    red, green, blue = (round((1 - weight) * a + weight * b) for a, b in pairs)
    return red, green, blue


def lighten(color: Color, factor: float) -> Color:
    """Make a colour brighter by a factor above 1, darker by one below."""
    red, green, blue = (min(255, round(factor * value)) for value in color)
    return red, green, blue
