"""Vehicles in the street: cars, a bus, a truck, bicycles and a motorcycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pps_torch.synthetic.canvas import CAMERA_X, Canvas, Color, Drawable, Point, lighten
from pps_torch.synthetic.labels import (
    BICYCLE,
    BUS,
    CAR,
    CHASSIS,
    LICENSE_PLATE,
    LIGHT,
    MOTORCYCLE,
    TRUCK,
    WHEEL,
    WINDOW,
    InstanceNumbers,
    PartUid,
)
from pps_torch.synthetic.random_shapes import pick

_Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _VehicleShape:
    """The shape of a vehicle, seen from the side.

    Lengths are in metres; places along the vehicle go from 0, the rear, to 1, the front.

    Attributes:
        outline: (place, height) from the rear bumper over the roof to the front bumper.
        glass: numbers of the outline's pieces that are windows.
        side_windows: corners (place, height) of each.
        wheels: their places.
        lights: their lower and upper height, at either end; `plate` likewise.
    """

    sid: int
    length: float
    width: float
    outline: _Corners
    glass: tuple[int, ...]
    side_windows: tuple[_Corners, ...]
    wheels: tuple[float, ...] = (0.18, 0.80)
    wheel_radius: float = 0.33
    lights: tuple[float, float] = (0.68, 0.86)
    plate: tuple[float, float] = (0.48, 0.60)

    def turned(self) -> _VehicleShape:
        """Turn the shape, with its front where the rear was."""

        def flip(points: _Corners) -> _Corners:
            return tuple((1 - place, height) for place, height in reversed(points))

        return replace(
            self,
            outline=flip(self.outline),
            glass=tuple(len(self.outline) - 2 - number for number in self.glass),
            side_windows=tuple(flip(window) for window in self.side_windows),
            wheels=tuple(1 - place for place in self.wheels),
        )


def _rectangle(rear: float, front: float, bottom: float, top: float) -> _Corners:
    return ((rear, bottom), (rear, top), (front, top), (front, bottom))


_SEDAN = _VehicleShape(
    CAR, 4.6, 1.8,
    ((0, 0.3), (0, 0.9), (0.03, 1.0), (0.17, 1.05), (0.3, 1.42), (0.58, 1.45), (0.75, 1.02),
     (0.96, 0.85), (1, 0.7), (1, 0.3)),
    (3, 5),
    (((0.22, 1.03), (0.32, 1.36), (0.43, 1.38), (0.43, 1.01)),
     ((0.45, 1.01), (0.45, 1.38), (0.57, 1.38), (0.70, 1.01))),
)  # fmt: skip
_HATCHBACK = _VehicleShape(
    CAR, 3.9, 1.75,
    ((0, 0.3), (0, 0.95), (0.02, 1.02), (0.13, 1.45), (0.55, 1.5), (0.74, 1.04), (0.97, 0.86),
     (1, 0.7), (1, 0.3)),
    (2, 4),
    (((0.09, 1.06), (0.16, 1.38), (0.36, 1.41), (0.36, 1.03)),
     ((0.39, 1.03), (0.39, 1.41), (0.54, 1.41), (0.68, 1.03))),
    lights=(0.74, 0.92),
)  # fmt: skip
_VAN = _VehicleShape(
    CAR, 4.9, 1.95,
    ((0, 0.35), (0, 1.15), (0.01, 1.2), (0.03, 1.85), (0.05, 2.0), (0.68, 2.02), (0.84, 1.2),
     (0.98, 1.0), (1, 0.8), (1, 0.35)),
    (2, 5),
    (_rectangle(0.06, 0.24, 1.22, 1.78), _rectangle(0.27, 0.47, 1.22, 1.8),
     ((0.5, 1.2), (0.5, 1.8), (0.66, 1.8), (0.78, 1.2))),
    lights=(0.85, 1.1),
)  # fmt: skip
_BUS = _VehicleShape(
    BUS, 11.5, 2.55,
    ((0, 0.35), (0, 1.2), (0.0, 1.25), (0.004, 2.55), (0.006, 3.1), (0.994, 3.1), (0.996, 2.7),
     (1, 1.1), (1, 1.05), (1, 0.35)),
    (2, 6),
    tuple(_rectangle(k / 7 + 0.012, (k + 1) / 7 - 0.012, 1.25, 2.5) for k in range(7)),
    wheels=(0.24, 0.80), wheel_radius=0.48, lights=(0.62, 0.86), plate=(0.5, 0.64),
)  # fmt: skip
_TRUCK = _VehicleShape(
    TRUCK, 8.5, 2.5,
    ((0, 0.5), (0, 0.9), (0, 0.95), (0, 3.4), (0.74, 3.4), (0.75, 2.7), (0.93, 2.75), (0.99, 1.9),
     (1, 1.1), (1, 0.5)),
    (6,),
    (((0.82, 1.6), (0.82, 2.4), (0.92, 2.4), (0.97, 1.6)),),
    wheels=(0.2, 0.86), wheel_radius=0.5, lights=(0.62, 0.84), plate=(0.6, 0.74),
)  # fmt: skip

CAR_COLORS = [
    (176, 34, 38), (44, 78, 138), (228, 228, 224), (56, 58, 62), (150, 154, 158), (30, 92, 84),
    (206, 170, 72), (98, 110, 122), (120, 40, 56), (88, 124, 164),
]  # fmt: skip
_CAR_SHAPES = [_SEDAN, _HATCHBACK, _HATCHBACK, _SEDAN, _VAN]


def traffic(rng: np.random.Generator, instances: InstanceNumbers) -> Iterator[Drawable]:
    """Place cars in both lanes and parked, one without part labels, a bus, a truck and cycles."""
    right, left, parked = 1.75, -1.75, 4.65
    spots = [(right, 19.5), (right, 28), (right, 58), (left, 36), (left, 45), (left, 54)]
    spots += [(parked, z) for z in (6.4, 18.5, 24.5, 35, 41)]
    spots += [(-parked, z) for z in (17.5, 23, 28.5, 40, 46)]
    without_parts = pick(rng, [(parked, 18.5), (-parked, 17.5)])
    for x, z in spots:
        if z > 20 and rng.random() < 0.15:
            continue
        has_parts = (x, z) != without_parts
        part_uid = instances.with_parts(CAR) if has_parts else instances.without_parts(CAR)
        shape = pick(rng, [_SEDAN, _HATCHBACK] if z < 10 else _CAR_SHAPES)
        spot = (x + rng.uniform(-0.15, 0.15), z + rng.uniform(-0.5, 0.7))
        yield spot[1], partial(_draw_vehicle, shape, spot, pick(rng, CAR_COLORS), part_uid)

    bus, truck = (left, 20 + rng.uniform(-0.5, 3)), (right, 37.5 + rng.uniform(-1, 2))
    bus_color = pick(rng, [(198, 60, 50), (226, 190, 60), (52, 120, 140)])
    yield bus[1], partial(_draw_vehicle, _BUS, bus, bus_color, instances.with_parts(BUS))
    truck_uid = instances.with_parts(TRUCK)
    yield truck[1], partial(_draw_vehicle, _TRUCK, truck, (222, 222, 216), truck_uid)

    for sid, x, z in ((BICYCLE, 7.4, 13.0), (MOTORCYCLE, -6.6, 15.5), (BICYCLE, -7.8, 24.0)):
        spot = (x + rng.uniform(-0.2, 0.2), z + rng.uniform(-0.5, 0.5))
        draw = draw_bicycle if sid == BICYCLE else _draw_motorcycle
        yield spot[1], partial(draw, spot, pick(rng, CAR_COLORS), instances.next(sid))


def _draw_vehicle(
    shape: _VehicleShape,
    spot: tuple[float, float],
    paint: Color,
    part_uid: PartUid,
    canvas: Canvas,
) -> None:
    """Draw a vehicle along the street; on the left side of the road it shows its front."""
    x, z = spot
    shows_front = x < 0
    shape = shape.turned() if shows_front else shape
    glass_color = (52, 64, 76)
    top = max(height for _, height in shape.outline)

    def at(place: float, height: float, across: float) -> Point:
        """A point of the body; `across` is -1 on the left side, 1 on the right side."""
        lean = 0.16 * max(0.0, height - 1.0) / max(top - 1.0, 0.5) if top < 2.5 else 0.0
        return x + across * (shape.width / 2 - lean), height, z + place * shape.length

    def panel(place: float, bottom: float, top: float, left: float, right: float) -> list[Point]:
        corners = ((left, bottom), (right, bottom), (right, top), (left, top))
        return [at(place, height, across) for across, height in corners]

    ground = [(-1.08, -0.02), (1.08, -0.02), (1.08, 1.02), (-1.08, 1.02)]
    shadow = [(x + u * shape.width / 2, 0, z + v * shape.length) for u, v in ground]
    canvas.face(shadow, (44, 45, 50), None)
    clearance = shape.outline[0][1]
    for across in (-1, 1):
        inner = across * 0.72
        canvas.face(panel(0.03, 0, clearance + 0.1, across, inner), (24, 24, 26), part_uid(WHEEL))

    pieces = list(enumerate(zip(shape.outline, shape.outline[1:], strict=False)))
    for number, (start, end) in reversed(pieces):
        is_glass = number in shape.glass
        rises = end[1] - start[1] > abs(end[0] - start[0])
        color = glass_color if is_glass else lighten(paint, 0.82 if rises else 1.1)
        corners = [at(*start, -1), at(*start, 1), at(*end, 1), at(*end, -1)]
        canvas.face(corners, color, part_uid(CHASSIS))
        if is_glass:
            rim = [at(*start, -0.86), at(*start, 0.86), at(*end, 0.84), at(*end, -0.84)]
            canvas.face(rim, lighten(glass_color, 1.25), part_uid(WINDOW))

    light_color = (246, 240, 206) if shows_front else (214, 36, 34)
    for across in (-1, 1):
        lamp = panel(0, *shape.lights, across * 0.94, across * 0.6)
        canvas.face(lamp, light_color, part_uid(LIGHT))
    canvas.face(panel(0, *shape.plate, -0.3, 0.3), (238, 238, 228), part_uid(LICENSE_PLATE))
    bumper = panel(0, clearance, clearance + 0.12, -1, 1)
    canvas.face(bumper, lighten(paint, 0.45), part_uid(CHASSIS))
    _draw_vehicle_side(shape, at, 1 if x < CAMERA_X else -1, paint, part_uid, canvas)


def _draw_vehicle_side(
    shape: _VehicleShape,
    at: Callable[[float, float, float], Point],
    across: int,
    paint: Color,
    part_uid: PartUid,
    canvas: Canvas,
) -> None:
    body = [at(place, height, across) for place, height in shape.outline]
    canvas.face(body, lighten(paint, 0.92), part_uid(CHASSIS))
    for window in shape.side_windows:
        corners = [at(place, height, across) for place, height in window]
        canvas.face(corners, (66, 80, 94), part_uid(WINDOW))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for wheel in shape.wheels:
        for radius, color in ((1.0, (26, 26, 28)), (0.58, (146, 148, 152))):
            places = wheel + radius * shape.wheel_radius * np.cos(angles) / shape.length
            heights = shape.wheel_radius * (1 + radius * np.sin(angles))
            rim = [at(*point, across) for point in zip(places, heights, strict=True)]
            canvas.face(rim, color, part_uid(WHEEL))


def draw_bicycle(spot: tuple[float, float], paint: Color, uid: int, canvas: Canvas) -> None:
    """Draw a bicycle across the street; in the label, its wheels are filled."""
    x, z = spot
    rear, front, pedal = (x - 0.52, 0.34, z), (x + 0.52, 0.34, z), (x, 0.32, z)
    seat, fork = (x - 0.18, 0.86, z), (x + 0.36, 0.86, z)
    angles = np.linspace(0, 2 * np.pi, 25)
    for hub in (rear, front):
        canvas.disc(hub, 0.34, None, uid)
        rim = [(hub[0] + 0.32 * np.cos(a), hub[1] + 0.32 * np.sin(a), z) for a in angles]
        for start, end in zip(rim, rim[1:], strict=False):
            canvas.limb(start, end, 0.045, (30, 30, 32), uid)
    tubes = [(rear, pedal), (rear, seat), (seat, pedal), (pedal, fork), (seat, fork), (fork, front)]
    for start, end in tubes:
        canvas.limb(start, end, 0.05, paint, uid)
    canvas.limb((x - 0.3, 0.95, z), (x - 0.08, 0.95, z), 0.07, (30, 30, 32), uid)
    canvas.limb(fork, (x + 0.32, 1.05, z), 0.05, (40, 40, 42), uid)


def _draw_motorcycle(spot: tuple[float, float], paint: Color, uid: int, canvas: Canvas) -> None:
    x, z = spot
    for hub in (x - 0.65, x + 0.65):
        canvas.disc((hub, 0.32, z), 0.32, (26, 26, 28), uid)
        canvas.disc((hub, 0.32, z), 0.16, (140, 142, 146), uid)
    body = [(-0.7, 0.72), (-0.6, 0.85), (0.0, 0.8), (0.12, 0.98), (0.45, 0.92), (0.65, 0.4)]
    body += [(0.25, 0.3), (-0.4, 0.35)]
    canvas.face([(x + u, v, z) for u, v in body], paint, uid)
    canvas.limb((x - 0.6, 0.84, z), (x - 0.05, 0.84, z), 0.12, (30, 30, 32), uid)
    canvas.limb((x + 0.62, 0.4, z), (x + 0.36, 1.12, z), 0.07, (120, 122, 126), uid)
