"""People in the street: pedestrians, a crowd, and a cyclist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pps_torch.synthetic.canvas import Canvas, Color, Drawable, Point, lighten
from pps_torch.synthetic.labels import (
    ARMS,
    BICYCLE,
    HEAD,
    LEGS,
    PERSON,
    RIDER,
    TORSO,
    InstanceNumbers,
    PartUid,
)
from pps_torch.synthetic.random_shapes import pick
from pps_torch.synthetic.surroundings import ROAD_EDGE
from pps_torch.synthetic.vehicles import CAR_COLORS, draw_bicycle

SHOES = (36, 32, 30)
_SKINS = [(236, 196, 164), (198, 144, 108), (142, 96, 70), (240, 208, 182)]
_CLOTHES = [
    (60, 90, 150), (182, 56, 52), (226, 222, 212), (52, 56, 62), (96, 130, 84), (214, 168, 60),
    (130, 84, 130), (76, 132, 148),
]  # fmt: skip


@dataclass(frozen=True)
class _Look:
    """The look of a person; lengths in metres."""

    height: float
    stride: float
    skin: Color
    shirt: Color
    trousers: Color
    hair: Color

    @classmethod
    def random(cls, rng: np.random.Generator) -> _Look:
        hair = pick(rng, [(46, 34, 26), (92, 66, 40), (172, 140, 88), (120, 118, 116)])
        return cls(
            height=rng.uniform(1.55, 1.9),
            stride=rng.uniform(-0.3, 0.3),
            skin=pick(rng, _SKINS),
            shirt=pick(rng, _CLOTHES),
            trousers=lighten(pick(rng, _CLOTHES), 0.6),
            hair=hair,
        )


def people(rng: np.random.Generator, instances: InstanceNumbers) -> Iterator[Drawable]:
    """Place pedestrians on the crossing and the sidewalks, a crowd without ids, and a cyclist."""
    spots = [
        (rng.uniform(-4.5, -0.8), 13.2),
        (rng.uniform(0.2, 2.0), 14.6),
        (rng.uniform(2.6, 4.6), 13.6),
    ]
    spots += [(rng.uniform(6.8, 9.3), z) for z in rng.uniform(9, 32, size=4)]
    spots += [(rng.uniform(-9.3, -8.0), z) for z in rng.uniform(14, 22, size=3)]
    for x, z in spots:
        draw = partial(_draw_person, (x, z), _Look.random(rng), instances.with_parts(PERSON))
        yield z, draw

    crowd_z = rng.uniform(27, 32)
    for _ in range(14):
        x, z = rng.uniform(-9.6, -7.4), crowd_z + rng.uniform(0, 5)
        yield z, partial(_draw_person, (x, z), _Look.random(rng), lambda pid: PERSON)

    x, z = rng.uniform(-1.5, 0.5), 15.6
    bicycle_uid, rider_uid = instances.next(BICYCLE), instances.with_parts(RIDER)
    yield z, partial(draw_bicycle, (x, z), pick(rng, CAR_COLORS), bicycle_uid)
    yield z - 0.01, partial(_draw_rider, (x, z), _Look.random(rng), rider_uid)


def _draw_person(spot: tuple[float, float], look: _Look, part_uid: PartUid, canvas: Canvas) -> None:
    x, z = spot

    def at(u: float, v: float) -> Point:
        """A point of the body: u to the right in metres, v up as a fraction of the height."""
        return x + u, v * look.height, z

    shadow = [(-0.3, -0.3), (0.3, -0.3), (0.35, 0.3), (-0.25, 0.3)]
    shadow_color = (84, 84, 88) if abs(x) < ROAD_EDGE else (128, 124, 118)
    canvas.face([(x + u, 0, z + w) for u, w in shadow], shadow_color, None)

    def leg(sign: int, color: Color) -> None:
        step = sign * (0.08 + look.stride)
        knee, foot = at(sign * (0.07 + 0.25 * look.stride), 0.27), at(step, 0.03)
        canvas.limb(at(sign * 0.08, 0.5), knee, 0.17, color, part_uid(LEGS))
        canvas.limb(knee, foot, 0.13, color, part_uid(LEGS))
        canvas.limb(foot, at(step + 0.09, 0.025), 0.1, SHOES, part_uid(LEGS))

    def arm(sign: int, color: Color) -> None:
        elbow = at(sign * 0.29 - 0.3 * look.stride, 0.63)
        hand = at(sign * 0.27 - 0.6 * look.stride, 0.5)
        canvas.limb(at(sign * 0.21, 0.79), elbow, 0.12, color, part_uid(ARMS))
        canvas.limb(elbow, hand, 0.1, look.skin, part_uid(ARMS))

    leg(-1, lighten(look.trousers, 0.8))
    leg(1, look.trousers)
    arm(-1, lighten(look.shirt, 0.75))
    left_half = [(-0.1, 0.84), (-0.24, 0.79), (-0.2, 0.66), (-0.17, 0.47)]
    torso = left_half + [(-u, v) for u, v in reversed(left_half)]
    canvas.face([at(u, v) for u, v in torso], look.shirt, part_uid(TORSO))
    arm(1, lighten(look.shirt, 0.85))
    _draw_head(at(0, 0.925), look, part_uid, canvas)


def _draw_head(center: Point, look: _Look, part_uid: PartUid, canvas: Canvas) -> None:
    x, y, z = center
    canvas.limb((x, y - 0.17, z), center, 0.11, lighten(look.skin, 0.85), part_uid(HEAD))
    canvas.disc((x, y + 0.03, z), 0.14, look.hair, part_uid(HEAD), squeeze=0.86)
    canvas.disc((x, y - 0.03, z), 0.105, look.skin, part_uid(HEAD), squeeze=0.86)


def _draw_rider(spot: tuple[float, float], look: _Look, part_uid: PartUid, canvas: Canvas) -> None:
    x, z = spot
    hip, shoulder, hand = (x - 0.2, 0.98, z), (x + 0.08, 1.46, z), (x + 0.33, 1.08, z)
    for pedal, shade in (((x + 0.12, 0.22, z), 0.8), ((x - 0.06, 0.45, z), 1.0)):
        knee = (x + 0.16, pedal[1] + 0.42, z)
        color = lighten(look.trousers, shade)
        canvas.limb(hip, knee, 0.17, color, part_uid(LEGS))
        canvas.limb(knee, pedal, 0.13, color, part_uid(LEGS))
        canvas.limb(pedal, (pedal[0] + 0.12, pedal[1], z), 0.09, SHOES, part_uid(LEGS))
    canvas.limb(hip, shoulder, 0.3, look.shirt, part_uid(TORSO))
    elbow = (x + 0.26, 1.2, z)
    canvas.limb((x + 0.1, 1.44, z), elbow, 0.11, lighten(look.shirt, 0.8), part_uid(ARMS))
    canvas.limb(elbow, hand, 0.09, look.skin, part_uid(ARMS))
    _draw_head((x + 0.18, 1.72, z), look, part_uid, canvas)
