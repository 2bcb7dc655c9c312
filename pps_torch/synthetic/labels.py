"""The Cityscapes classes and parts of the street, and the uids of its instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

UNLABELED, EGO_VEHICLE = 0, 1
ROAD, SIDEWALK, BUILDING, POLE = 7, 8, 11, 17
TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION, TERRAIN, SKY = 19, 20, 21, 22, 23
PERSON, RIDER, CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 32, 33
TORSO, HEAD, ARMS, LEGS = 1, 2, 3, 4
WINDOW, WHEEL, LIGHT, LICENSE_PLATE, CHASSIS = 1, 2, 3, 4, 5

PartUid = Callable[[int], int]  # part id -> uid


class InstanceNumbers:
    """Numbers the instances of each class from 0, as Cityscapes does."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def next(self, sid: int) -> int:
        """Return the uid of the next instance of a class without parts."""
        self._counts[sid] += 1
        return sid * 1000 + self._counts[sid] - 1

    def with_parts(self, sid: int) -> PartUid:
        """Return the uids of the parts of the next instance."""
        sid_iid = self.next(sid)
        return lambda pid: sid_iid * 100 + pid

    def without_parts(self, sid: int) -> PartUid:
        """Return the same for an instance without part labels: one uid for all its parts."""
        sid_iid = self.next(sid)
        return lambda pid: sid_iid
