"""The still parts of a street: sky, ground, houses, trees, poles, signs; the own car's bonnet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from pps_torch.synthetic.canvas import CAMERA_X, Canvas, Color, Drawable, lighten, mix
from pps_torch.synthetic.labels import (
    BUILDING,
    EGO_VEHICLE,
    POLE,
    ROAD,
    SIDEWALK,
    TERRAIN,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    UNLABELED,
    VEGETATION,
)
from pps_torch.synthetic.random_shapes import pick, smooth_noise

ROAD_EDGE, PARKING_EDGE, FACADE = 5.8, 3.5, 10.0  # x of the right side, in metres
FAR = 150.0
METAL = (104, 106, 108)


def sky(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw the sky, `(H, W, 3)` uint8: blue above, pale below, with clouds."""
    depth = np.linspace(0, 1, size[0])[:, None, None]
    blue = (1 - depth) * np.array([96, 150, 214]) + depth * np.array([240, 240, 236])
    clouds = smooth_noise(size, (9, 7), rng) + 0.6 * smooth_noise(size, (24, 16), rng)
    cover = (0.5 * clouds - 0.05).clip(0, 0.8)[..., None]
    return ((1 - cover) * blue + cover * 250).astype(np.uint8)


def draw_ground(canvas: Canvas) -> None:
    """Draw the road with its markings, kerbs, sidewalks, and grass on the left."""

    def strip(x0: float, x1: float, z0: float, z1: float, color: Color, uid: int) -> None:
        canvas.face([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], color, uid)

    def ground(x0: float, x1: float, color: Color, uid: int) -> None:
        for z0, z1 in zip(depths, depths[1:], strict=False):
            strip(x0, x1, z0, z1, color, uid)

    depths = np.geomspace(2.5, 400, 40).tolist()
    ground(-80, -ROAD_EDGE, (158, 152, 146), SIDEWALK)
    ground(ROAD_EDGE, 80, (166, 160, 152), SIDEWALK)
    ground(-ROAD_EDGE - 2.0, -ROAD_EDGE - 0.3, (112, 142, 74), TERRAIN)
    ground(-ROAD_EDGE, ROAD_EDGE, (92, 93, 98), ROAD)
    for side in (-1, 1):
        ground(side * ROAD_EDGE - 0.12, side * ROAD_EDGE + 0.12, (196, 194, 188), SIDEWALK)
        ground(side * PARKING_EDGE - 0.06, side * PARKING_EDGE + 0.06, (205, 205, 202), ROAD)
    for z in np.arange(18.5, 130, 6).tolist():
        strip(-0.08, 0.08, z, z + 3, (226, 226, 222), ROAD)
    for z in (4.0, 7.5):
        strip(-0.08, 0.08, z, z + 2, (226, 226, 222), ROAD)
    for x in np.arange(-ROAD_EDGE + 0.5, ROAD_EDGE - 0.6, 1.1).tolist():
        strip(x, x + 0.55, 12.5, 16.0, (228, 228, 224), ROAD)


def buildings(rng: np.random.Generator) -> Iterator[Drawable]:
    """Place two rows of houses along the street, and one that closes it."""
    walls = [(196, 170, 140), (178, 120, 98), (206, 198, 182), (150, 140, 132), (186, 160, 128)]
    walls += [(168, 102, 86), (214, 190, 150), (140, 150, 156)]
    for side in (-1, 1):
        z = 4.0
        while z < 120:
            length = rng.uniform(9, 17)
            floors = int(rng.integers(3, 7))
            yield z, partial(_draw_house, side, z, z + length - 0.4, floors, pick(rng, walls))
            z += length
    yield FAR, partial(_draw_far_row, rng.integers(3, 6, size=9).tolist(), pick(rng, walls))


def _draw_house(side: int, z0: float, z1: float, floors: int, wall: Color, canvas: Canvas) -> None:
    x0, x1 = side * FACADE, side * (FACADE + 14)
    top = 3.4 * floors + 1.0
    wall = wall if side < 0 else lighten(wall, 0.82)
    gable = [(x0, 0, z0), (x1, 0, z0), (x1, top, z0), (x0, top, z0)]
    canvas.face(gable, lighten(wall, 0.7), BUILDING)

    def on_facade(za: float, zb: float, ya: float, yb: float, color: Color) -> None:
        canvas.face([(x0, ya, za), (x0, ya, zb), (x0, yb, zb), (x0, yb, za)], color, BUILDING)

    on_facade(z0, z1, 0, top, wall)
    on_facade(z0, z1, top - 0.5, top, lighten(wall, 0.75))
    on_facade(z0, z1, 3.3, 3.6, lighten(wall, 1.15))
    bays = max(2, round((z1 - z0) / 2.6))
    bay = (z1 - z0) / bays
    for column in range(bays):
        left, right = z0 + (column + 0.2) * bay, z0 + (column + 0.8) * bay
        on_facade(left - 0.25, right + 0.25, 0.5, 2.8, (62, 70, 78))
        on_facade(left - 0.12, right + 0.12, 1.2, 2.7, (122, 138, 148))
        for floor in range(1, floors):
            base = 3.4 * floor + 1.0
            on_facade(left - 0.08, right + 0.08, base - 0.12, base + 1.72, (232, 228, 220))
            on_facade(left, right, base, base + 1.6, (74, 88, 104))


def _draw_far_row(floors: Sequence[int], wall: Color, canvas: Canvas) -> None:
    for place, count in enumerate(floors):
        x, top = (place - len(floors) / 2) * 12, 4 * count
        corners = [(x, 0, FAR), (x + 12, 0, FAR), (x + 12, top, FAR), (x, top, FAR)]
        canvas.face(corners, lighten(wall, 0.8 + 0.05 * (place % 4)), BUILDING)
    for x in np.linspace(-40, 40, 25):
        canvas.disc((x, 2.0, FAR - 1), 4.0, (104, 134, 78), VEGETATION)


def trees(rng: np.random.Generator) -> Iterator[Drawable]:
    """Place a row of trees on each side, with gaps."""
    for side, start in ((-1, 17), (1, 24)):
        for z in np.arange(start, 115, 12):
            if rng.random() < 0.85:
                spot = (side * (ROAD_EDGE + 1.2), z + rng.uniform(-2, 2))
                leaves = [
                    (rng.normal(0, 0.75), rng.normal(0, 0.8), rng.uniform(0.6, 1.15))
                    for _ in range(16)
                ]
                height = rng.uniform(5.0, 7.0)
                green = mix((86, 122, 52), (128, 150, 62), rng.random())
                yield spot[1], partial(_draw_tree, spot, height, leaves, green)


def _draw_tree(
    spot: tuple[float, float],
    height: float,
    leaves: Sequence[tuple[float, float, float]],
    green: Color,
    canvas: Canvas,
) -> None:
    x, z = spot
    trunk = [(x - 0.17, 0, z), (x + 0.17, 0, z), (x + 0.1, height, z), (x - 0.1, height, z)]
    canvas.face(trunk, (94, 76, 60), VEGETATION)
    for layer, (u, v, radius) in enumerate(sorted(leaves, key=lambda leaf: leaf[1])):
        color = lighten(green, 0.72 + 0.5 * layer / len(leaves))
        canvas.disc((x + u, height + 0.6 + v, z), radius, color, VEGETATION)


def street_furniture(rng: np.random.Generator) -> Iterator[Drawable]:
    """Place lamps, traffic lights, signs, and an advertising column."""
    for side in (-1, 1):
        for z in range(13 if side < 0 else 29, 110, 27):
            yield z, partial(_draw_street_lamp, side, z)
        yield 17.0, partial(_draw_traffic_light, side * (ROAD_EDGE + 0.5), 17.0)
    for kind, x, z in (("round", 6.5, 11.5), ("square", -6.5, 20.0), ("triangle", 6.6, 33.0)):
        yield z, partial(_draw_sign, kind, x, z + rng.uniform(-0.5, 0.5))
    yield 19.0, partial(_draw_advertising_column, 8.3, 19.0 + rng.uniform(-1, 1))


def _draw_pole(canvas: Canvas, x: float, z: float, top: float, width: float = 0.14) -> None:
    half = width / 2
    corners = [(x - half, 0, z), (x + half, 0, z), (x + half, top, z), (x - half, top, z)]
    canvas.face(corners, METAL, POLE)


def _draw_street_lamp(side: int, z: float, canvas: Canvas) -> None:
    x = side * (ROAD_EDGE + 0.4)
    _draw_pole(canvas, x, z, 8.0, 0.18)
    canvas.limb((x, 8.0, z), (x - side * 2.0, 8.4, z), 0.12, METAL, POLE)
    canvas.limb((x - side * 1.9, 8.35, z), (x - side * 2.6, 8.4, z), 0.2, (150, 152, 150), POLE)


def _draw_traffic_light(x: float, z: float, canvas: Canvas) -> None:
    _draw_pole(canvas, x, z, 3.6)
    box = [(x - 0.2, 2.6, z), (x + 0.2, 2.6, z), (x + 0.2, 3.7, z), (x - 0.2, 3.7, z)]
    canvas.face(box, (34, 38, 36), TRAFFIC_LIGHT)
    lamps = ((3.5, (250, 60, 48)), (3.15, (72, 58, 20)), (2.8, (24, 66, 42)))
    for height, color in lamps:
        canvas.disc((x, height, z), 0.13, color, TRAFFIC_LIGHT)


def _draw_sign(kind: str, x: float, z: float, canvas: Canvas) -> None:
    _draw_pole(canvas, x, z, 2.7, 0.09)
    if kind == "round":
        canvas.disc((x, 2.6, z), 0.36, (200, 34, 40), TRAFFIC_SIGN)
        canvas.disc((x, 2.6, z), 0.26, (244, 244, 240), TRAFFIC_SIGN)
        return
    corners, colors = {
        "square": (
            [(-0.36, -0.36), (0.36, -0.36), (0.36, 0.36), (-0.36, 0.36)],
            [(244, 244, 240), (36, 84, 168)],
        ),
        "triangle": ([(-0.5, -0.32), (0.5, -0.32), (0, 0.55)], [(200, 34, 40), (244, 244, 240)]),
    }[kind]
    for scale, color in zip((1.0, 0.7), colors, strict=True):
        canvas.face([(x + scale * u, 2.6 + scale * v, z) for u, v in corners], color, TRAFFIC_SIGN)


def _draw_advertising_column(x: float, z: float, canvas: Canvas) -> None:
    """Draw an advertising column, which Cityscapes does not label."""
    posters = [
        (-0.7, -0.2, (196, 98, 62)),
        (-0.2, 0.3, (230, 206, 120)),
        (0.3, 0.7, (92, 128, 142)),
    ]
    for left, right, color in posters:
        corners = [(x + left, 0.3), (x + right, 0.3), (x + right, 2.9), (x + left, 2.9)]
        canvas.face([(u, v, z) for u, v in corners], color, UNLABELED)
    for bottom, top in ((0, 0.35), (2.85, 3.2)):
        corners = [(x - 0.8, bottom), (x + 0.8, bottom), (x + 0.75, top), (x - 0.75, top)]
        canvas.face([(u, v, z) for u, v in corners], (66, 82, 70), UNLABELED)


def draw_ego_vehicle(canvas: Canvas) -> None:
    """Draw the bonnet of the own car at the lower edge of the picture."""
    z = 2.6
    for crest, color in ((1.22, (38, 42, 50)), (1.17, (58, 66, 78)), (1.08, (46, 52, 62))):
        across = np.linspace(-3.5, 3.5, 40)
        rim = [(CAMERA_X + u, crest - 0.035 * u * u, z) for u in across]
        canvas.face([(-3, -2, z), *rim, (6, -2, z)], color, EGO_VEHICLE)
