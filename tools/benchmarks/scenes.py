"""Seeded street-like scenes on any device: blobs of stuff, and detections that overlap.

Shapes are drawn on the CPU, so that every device gets the same ones; maps are made on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch import DatasetSpec, EvalSpec, PanopticSegmentation, PanopticTarget

FULL_PIXELS = 1024 * 2048


@dataclass(frozen=True)
class Sizes:
    """How big a scene is; `stride` is that of the logits."""

    height: int = 1024
    width: int = 2048
    batch: int = 1
    instances: int = 100
    classes: int = 19
    stride: int = 4

    def scaled(self, scale: float) -> Sizes:
        """A smaller image."""
        sides = (max(round(side * scale), 16) for side in (self.height, self.width))
        return replace(self, **dict(zip(("height", "width"), sides)))

    @property
    def image(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def logits(self) -> tuple[int, int]:
        """Height and width of the logits."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def stuff_area_limit(self) -> int:
        """4096 pixels at 1024 x 2048, the default of the merge, and the same share elsewhere."""
        return round(4096 * self.height * self.width / FULL_PIXELS)

    def text(self, things: str) -> str:
        """For the table."""
        batch = "" if self.batch == 1 else f"batch {self.batch}, "
        return f"{batch}{self.height} x {self.width}, {self.instances} {things}"


class Ellipses(NamedTuple):
    """Shapes of detections `(B, N)`: centre, half axes (pixels) and index of the thing class."""

    x: Tensor
    y: Tensor
    half_width: Tensor
    half_height: Tensor
    class_index: Tensor

    def distance(self, image: int, number: int, size: tuple[int, int], scale: float = 1) -> Tensor:
        """`(h, w)`: 0 in the centre, 1 on the border; `scale`: of the size to the image."""
        x, y, a, b = (field[image, number] * scale for field in self[:4])
        rows = torch.arange(size[0], device=x.device, dtype=torch.float32) + 0.5
        columns = torch.arange(size[1], device=x.device, dtype=torch.float32) + 0.5
        return ((columns - x) / a).square() + ((rows - y) / b).square()[:, None]

    @property
    def boxes(self) -> Tensor:
        """`(B, N, 4)` xyxy."""
        x, y, a, b = self[:4]
        return torch.stack([x - a, y - b, x + a, y + b], -1)


def street_spec(classes: int) -> EvalSpec:
    """`cpp_default` for 19 classes; else made up, with 16 parts for each class of things."""
    if classes == 19:
        return EvalSpec.load("cpp_default")
    stuff, things = (
        range(1, classes - classes // 2 + 1),
        range(classes - classes // 2 + 1, classes + 1),
    )
    names = {sid: f"class {sid}" for sid in (*stuff, *things)}
    parts = {names[sid]: [f"part {pid}" for pid in range(1, 17)] for sid in things}
    dataset = DatasetSpec.from_dict(
        {
            "name": f"{classes} classes",
            "scene_class2part_classes": {name: parts.get(name, []) for name in names.values()},
            "scene_classes_with_instances": list(parts),
            "scene_class2color": {name: [0, 0, 0] for name in names.values()},
        }
    )
    sids_pids = {f"{sid}_{pid:02d}": pid for sid in things for pid in range(1, 17)}
    return EvalSpec.from_dict(
        {
            "version": "2.0",
            "ignore_label": 9999,
            "dataset_sid2eval_sid": {**{sid: sid for sid in names}, "DEFAULT": "IGNORED"},
            "dataset_sid_pid2eval_sid_pid": {
                **{key: key for key in sids_pids}, "DEFAULT": "IGNORED"
            },
            "eval_sid_things": list(things),
            "eval_sid_stuff": list(stuff),
            "eval_sid_parts": list(things),
            "eval_sid_no_parts": list(stuff),
            "eval_sid_pid2eval_pid_flat": sids_pids,
            "eval_sid2scene_label": names,
            "eval_pid_flat2scene_part_label": {},
        },
        dataset,
    )  # fmt: skip


class Street:
    """What one seed draws: shapes of detections, their scores, and fields of blobs."""

    def __init__(self, sizes: Sizes, device: torch.device, seed: int = 0) -> None:
        self.sizes = sizes
        self.device = device
        self.spec = street_spec(sizes.classes)
        self.things = torch.tensor(self.spec.things, device=device)
        self.stuff = torch.tensor(self.spec.stuff, device=device)
        self._random = torch.Generator().manual_seed(seed)
        self.ellipses = self._ellipses()

    def normal(self, *shape: int) -> Tensor:
        """Normal numbers."""
        return torch.randn(*shape, generator=self._random).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in 0..1."""
        return torch.rand(*shape, generator=self._random).to(self.device)

    def blobs(self, channels: int, size: tuple[int, int]) -> Tensor:
        """`(B, channels, h, w)` smooth fields, as logits are."""
        coarse = self.normal(self.sizes.batch * channels, 1, 9, 17)
        fine = F.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
        return 4 * fine.view(self.sizes.batch, channels, *size)

    def scores(self) -> Tensor:
        """`(B, N)`: all above 0.5, no two equal, in random order."""
        shape = (self.sizes.batch, self.sizes.instances)
        falling = torch.linspace(0.99, 0.51, shape[1])
        return falling[torch.rand(*shape, generator=self._random).argsort(1)].to(self.device)

    def stuff_map(self, logits: Tensor) -> Tensor:
        """`(B, H, W)` int64 index into the stuff classes of the highest channel."""
        return F.interpolate(logits, size=self.sizes.image, mode="bilinear").argmax(1)

    def masks(self) -> Tensor:
        """`(B, N, H, W)` bool."""
        sizes = self.sizes
        shape = (sizes.batch, sizes.instances, *sizes.image)
        masks = torch.empty(shape, dtype=torch.bool, device=self.device)
        for image in range(sizes.batch):
            for number in range(sizes.instances):
                masks[image, number] = self.ellipses.distance(image, number, sizes.image) <= 1
        return masks

    def mask_probs(self, side: int = 28) -> Tensor:
        """`(B, N, M, M)`, in the frame of each box: ellipses with bumps."""
        batch, instances = self.sizes.batch, self.sizes.instances
        position = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        ellipse = 6 * (1 - position.square() - position.square()[:, None])
        bumps = F.interpolate(
            self.normal(batch * instances, 1, 5, 5), size=(side, side), mode="bicubic"
        )
        return (ellipse + bumps.view(batch, instances, side, side)).sigmoid()

    def jittered(self) -> Street:
        """The same street as a model would find it: shapes moved by a tenth, some classes wrong."""
        found = Street(self.sizes, self.device, seed=1)
        x, y, a, b, class_index = self.ellipses
        move, grow = 0.15 * self.normal(2, *x.shape), 1 + 0.1 * self.normal(2, *x.shape)
        wrong = self.uniform(*x.shape) < 0.1
        found.ellipses = Ellipses(
            x + move[0] * a,
            y + move[1] * b,
            a * grow[0].clamp(min=0.5),
            b * grow[1].clamp(min=0.5),
            torch.where(wrong, found.ellipses.class_index, class_index),
        )
        return found

    def _ellipses(self) -> Ellipses:
        """Small and large ones, a third of them close to an earlier one, inside the image."""
        sizes, shape = self.sizes, (self.sizes.batch, self.sizes.instances)
        y = (0.55 + 0.15 * self.normal(*shape)) * sizes.height
        x = self.uniform(*shape) * sizes.width
        b = sizes.height * 0.02 * 12 ** self.uniform(*shape)
        a = b * 0.5 * 4 ** self.uniform(*shape)
        earlier = torch.arange(shape[1], device=self.device)
        earlier = torch.where(earlier % 3 == 2, earlier - 1, earlier)
        x, y, a, b = (field[:, earlier] for field in (x, y, a, b))
        is_copy = earlier != torch.arange(shape[1], device=self.device)
        x = x + 0.4 * a * is_copy * self.normal(*shape)
        y = y + 0.4 * b * is_copy * self.normal(*shape)
        left, right = (x - a).clamp(0, sizes.width - 4), (x + a).clamp(4, sizes.width)
        top, bottom = (y - b).clamp(0, sizes.height - 4), (y + b).clamp(4, sizes.height)
        right, bottom = torch.maximum(right, left + 4), torch.maximum(bottom, top + 4)
        class_index = torch.randint(len(self.things), shape, generator=self._random)
        middle = ((left + right) / 2, (top + bottom) / 2)
        half = ((right - left) / 2, (bottom - top) / 2)
        return Ellipses(*middle, *half, class_index.to(self.device))


def margins(fields: Tensor) -> Tensor:
    """`(B, K, h, w)` fields -> each minus the highest other one: above 0 where it is highest."""
    if fields.shape[1] == 1:
        return fields
    best = fields.topk(2, dim=1).values
    others = torch.where(fields == best[:, :1], best[:, 1:], best[:, :1])
    return fields - others


class Painted(NamedTuple):
    """A street painted to maps `(B, H, W)`: row 1..N is a detection, the rest stuff, 0 void."""

    rows: Tensor
    parts: Tensor
    category_ids: Tensor


def paint(street: Street, stuff_logits: Tensor, is_void: Tensor | None = None) -> Painted:
    """Paint the detections, the first on top, over the stuff; parts are bands of a detection."""
    sizes, spec = street.sizes, street.spec
    num_stuff = len(spec.stuff)
    rows = (street.stuff_map(stuff_logits) + 1 + sizes.instances).to(torch.int32)
    parts = torch.zeros_like(rows)
    bands = torch.arange(sizes.height, device=street.device, dtype=torch.float32) + 0.5
    num_parts = torch.tensor([len(spec.part_pids.get(sid, ())) for sid in spec.things])
    num_parts = num_parts.to(street.device)[street.ellipses.class_index]
    for image in range(sizes.batch):
        for number in reversed(range(sizes.instances)):
            inside = street.ellipses.distance(image, number, sizes.image) <= 1
            rows[image].masked_fill_(inside, number + 1)
            top = street.ellipses.y[image, number] - street.ellipses.half_height[image, number]
            place = (bands - top) / (2 * street.ellipses.half_height[image, number])
            band = (place.clamp(0, 0.999) * num_parts[image, number]).int() + 1
            parts[image] = torch.where(inside, band[:, None], parts[image])
    if is_void is not None:
        rows.masked_fill_(is_void, 0)
    capacity = sizes.instances + num_stuff
    areas = torch.stack([image.flatten().bincount(minlength=capacity + 1) for image in rows])
    of_things = street.things[street.ellipses.class_index]
    category_ids = torch.cat([of_things, street.stuff.expand(sizes.batch, num_stuff)], 1)
    return Painted(rows, parts, torch.where(areas[:, 1:] > 0, category_ids, -1))


class Pair(NamedTuple):
    """A prediction and a ground truth in every form that the metrics take."""

    spec: EvalSpec
    pred: PanopticSegmentation
    target: PanopticTarget
    pps: Tensor
    gt_uids: Tensor


def panoptic_pair(sizes: Sizes, device: torch.device) -> Pair:
    """A ground truth with void and a prediction that is a damaged copy of it, without void."""
    street = Street(sizes, device)
    logits = street.blobs(len(street.spec.stuff), sizes.logits)
    noise = street.blobs(len(street.spec.stuff), sizes.logits)
    void = street.blobs(1, sizes.logits)
    is_void = F.interpolate(void, size=sizes.image, mode="bilinear")[:, 0] > 6
    gt, pred = paint(street, logits, is_void), paint(street.jittered(), logits + 0.4 * noise)

    is_pred_thing = torch.isin(pred.category_ids, street.things)
    unused = torch.zeros_like(pred.category_ids)
    prediction = PanopticSegmentation(
        pred.rows, pred.category_ids, is_pred_thing, unused.double(), unused, unused - 1,
        (pred.category_ids >= 0).sum(1),
    )  # fmt: skip
    target = PanopticTarget(
        gt.rows, gt.category_ids, torch.zeros_like(gt.category_ids).bool(),
        (gt.category_ids >= 0).sum(1),
    )  # fmt: skip
    return Pair(street.spec, prediction, target, _pps(pred, sizes), _uids(street.spec, gt, sizes))


def category_map(painted: PanopticSegmentation | PanopticTarget | Painted, void: int) -> Tensor:
    """`(B, H, W)`: the category of each pixel."""
    rows, category_ids = painted[0], painted.category_ids
    column = torch.full_like(category_ids[:, :1], void)
    table = torch.cat([column, category_ids], 1)
    images = torch.arange(len(rows), device=rows.device)[:, None, None]
    return table[images, rows.long()]


def _pps(painted: Painted, sizes: Sizes) -> Tensor:
    """`(B, 3, H, W)` int32: scene class, instance, part; no void."""
    is_thing = painted.rows <= sizes.instances
    iids = torch.where(is_thing, painted.rows, 1)
    parts = painted.parts.clamp(min=1)
    channels = (category_map(painted, 0), iids, torch.where(is_thing, parts, 1))
    return torch.stack([channel.int() for channel in channels], 1)


def _uids(spec: EvalSpec, painted: Painted, sizes: Sizes) -> Tensor:
    """`(B, H, W)` int32: the same as a data set's labels; 0 is void."""
    sids = category_map(painted, 0)
    has_parts = torch.isin(sids, torch.tensor(spec.parts, device=sids.device))
    is_thing = (painted.rows > 0) & (painted.rows <= sizes.instances)
    iids = painted.rows - 1
    of_things = torch.where(
        has_parts, sids * 100_000 + iids * 100 + painted.parts, sids * 1000 + iids
    )
    of_stuff = torch.where(sids > 99, sids * 1000, sids)
    return torch.where(is_thing, of_things, of_stuff).int()
