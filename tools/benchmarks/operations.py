"""Our operations on scenes of any size: what they read, the call, and what it must move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.scenes import Pair, Sizes, Street, margins, panoptic_pair
from benchmarks.timing import num_bytes
from pps_torch import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    EvalSpec,
    PanopticMerger,
    PanopticQuality,
    PartPanopticQuality,
    PPSMerger,
    PPSPostProcessor,
    QueryPanopticMerger,
)


@dataclass(frozen=True)
class Operation:
    """One call on one scene.

    Attributes:
        sizes, spec: of the scene.
        inputs: the tensors that the call reads.
        run: what is timed.
        result: what is compared with a peer's result.
    """

    sizes: Sizes
    spec: EvalSpec
    inputs: tuple
    run: Callable[[], object]
    result: Callable[[], object]

    def moved_bytes(self) -> int:
        """Each input read once and each output written once; a metric's small state left out."""
        return num_bytes(self.inputs) + num_bytes(self.run())


def merge_panoptic(sizes: Sizes, device: torch.device, *, backend: str = "auto") -> Operation:
    """Masks and a semantic map -> panoptic map."""
    street = Street(sizes, device)
    inputs = (_sem_seg(street), street.masks(), street.scores(), _categories(street))
    merger = PanopticMerger(
        street.spec.stuff, stuff_area_limit=sizes.stuff_area_limit, backend=backend
    )
    return _of_module(merger, inputs, street)


def merge_panoptic_boxes(sizes: Sizes, device: torch.device, *, backend: str = "auto") -> Operation:
    """Masks of 28 x 28 in the frames of boxes, and a semantic map -> panoptic map."""
    street = Street(sizes, device)
    detections = (street.mask_probs(), street.ellipses.boxes, street.scores(), _categories(street))
    merger = BoxPanopticMerger(
        street.spec.stuff, stuff_area_limit=sizes.stuff_area_limit, backend=backend
    )
    return _of_module(merger, (_sem_seg(street), *detections), street)


def post_processor(sizes: Sizes, device: torch.device, *, backend: str = "auto") -> Operation:
    """Logits of classes and of parts, and detections -> panoptic map and PPS map."""
    street = Street(sizes, device)
    num_parts = len({0, *street.spec.eval_sid_pid_to_flat.values()})
    inputs = (
        street.blobs(len(street.spec.eval_sids), sizes.logits),
        street.mask_probs(),
        street.ellipses.boxes,
        street.scores(),
        street.ellipses.class_index,
        street.blobs(num_parts, sizes.logits),
    )
    module = PPSPostProcessor(street.spec, stuff_area_limit=sizes.stuff_area_limit, backend=backend)
    return _of_module(module, inputs, street, image_size=sizes.image)


def merge_panoptic_queries(
    sizes: Sizes, device: torch.device, *, backend: str = "auto"
) -> Operation:
    """Class and mask logits of queries, upsampled inside -> panoptic map.

    Of ten queries five are "no object", four are things and one is stuff; most objects share the
    image as a trained network's do, some overlap.
    """
    street, queries = Street(sizes, device), torch.arange(sizes.instances, device=device)
    spec, shape = street.spec, (sizes.batch, sizes.instances)
    thing_classes = [index for index, sid in enumerate(spec.eval_sids) if sid in spec.things]
    stuff_classes = [index for index, sid in enumerate(spec.eval_sids) if sid in spec.stuff]
    is_stuff = queries % 10 == 8
    classes = torch.tensor(thing_classes, device=device)[street.ellipses.class_index]
    of_stuff = torch.tensor(stuff_classes, device=device)[queries // 10 % len(stuff_classes)]
    classes = torch.where(is_stuff, of_stuff, classes)
    classes = torch.where(queries % 2 == 1, sizes.classes, classes)
    class_logits = street.normal(*shape, sizes.classes + 1)
    class_logits.scatter_(2, classes[:, :, None], 9 + 4 * street.uniform(*shape, 1))

    mask_logits = class_logits.new_empty(*shape, *sizes.logits)
    taken = class_logits.new_full((sizes.batch, *sizes.logits), -8.0)
    for image in range(sizes.batch):
        for query in queries[~is_stuff].tolist():
            distance = street.ellipses.distance(image, query, sizes.logits, 1 / sizes.stride)
            logits = (30 * (1 - distance)).clamp(-8, 8)
            if (
                query % 2 == 0 and query % 10 != 4
            ):  # an object that leaves earlier ones their pixels
                logits = torch.minimum(logits, -taken[image])
                taken[image] = torch.maximum(taken[image], logits)
            mask_logits[image, query] = logits
    if num_stuff := int(is_stuff.sum()):
        stuff = margins(street.blobs(num_stuff, sizes.logits)).clamp(-8, 4)
        mask_logits[:, is_stuff] = torch.minimum(stuff, -taken[:, None])
    merger = QueryPanopticMerger(thing_classes, backend=backend)
    return _of_module(merger, (class_logits, mask_logits), street, out_size=sizes.image)


def merge_panoptic_centers(
    sizes: Sizes, device: torch.device, *, backend: str = "auto"
) -> Operation:
    """Class logits, centres of things and offsets to them, upsampled inside -> panoptic map.

    Each pixel points to the centre of the first detection that holds it, the others nowhere.
    """
    street = Street(sizes, device)
    things, spec = street.ellipses, street.spec
    thing_classes = [index for index, sid in enumerate(spec.eval_sids) if sid in spec.things]
    rows, columns = (
        torch.arange(side, device=device, dtype=torch.float32) for side in sizes.logits
    )
    heatmap = torch.zeros(sizes.batch, 1, *sizes.logits, device=device)
    offsets = torch.zeros(sizes.batch, 2, *sizes.logits, device=device)
    logits = street.blobs(sizes.classes, sizes.logits)
    for image in range(sizes.batch):
        for number in reversed(range(sizes.instances)):
            distance = things.distance(image, number, sizes.logits, 1 / sizes.stride)
            is_inside = distance <= 1
            y, x = (place[image, number] / sizes.stride for place in (things.y, things.x))
            to_center = torch.stack([(y - rows)[:, None].expand_as(distance),
                                     (x - columns).expand_as(distance)])  # fmt: skip
            offsets[image] = torch.where(is_inside, sizes.stride * to_center, offsets[image])
            peak = (1 - distance / 4).clamp(min=0) * (0.5 + 0.5 * number / sizes.instances)
            heatmap[image, 0] = torch.maximum(heatmap[image, 0], peak)
            channel = thing_classes[int(things.class_index[image, number])]
            logits[image, channel] = torch.where(is_inside, 12.0, logits[image, channel])
    merger = CenterPanopticMerger(
        thing_classes, stuff_area_limit=sizes.stuff_area_limit, backend=backend
    )
    return _of_module(merger, (logits, heatmap, offsets), street, out_size=sizes.image)


def merge_pps(sizes: Sizes, device: torch.device, *, backend: str = "auto") -> Operation:
    """A panoptic map and a map of parts -> PPS map."""
    street = Street(sizes, device)
    pair = panoptic_pair(sizes, device)
    flat_ids = torch.tensor(sorted({0, *street.spec.eval_sid_pid_to_flat.values()}), device=device)
    part_logits = street.blobs(len(flat_ids), sizes.logits)
    inputs = (pair.pred, flat_ids[street.stuff_map(part_logits)].int())
    return _of_module(PPSMerger(street.spec, backend=backend), inputs, street)


def panoptic_quality(sizes: Sizes, device: torch.device, *, backend: str = "auto") -> Operation:
    """PQ's update on a prediction and a target."""
    pair = panoptic_pair(sizes, device)
    metric = PanopticQuality(pair.spec, backend=backend)
    return _of_metric(metric, (pair.pred, pair.target), pair, sizes)


def part_panoptic_quality(
    sizes: Sizes, device: torch.device, *, backend: str = "auto"
) -> Operation:
    """PartPQ's update on a PPS map and labels."""
    pair = panoptic_pair(sizes, device)
    metric = PartPanopticQuality(pair.spec, backend=backend)
    return _of_metric(metric, (pair.pps, pair.gt_uids), pair, sizes)


def _of_module(module: nn.Module, inputs: tuple, street: Street, **settings) -> Operation:
    module = module.to(street.device).eval()

    def run() -> object:
        return module(*inputs, **settings)

    return Operation(street.sizes, street.spec, inputs, run, run)


def _of_metric(metric: nn.Module, inputs: tuple, pair: Pair, sizes: Sizes) -> Operation:
    metric = metric.to(pair.gt_uids.device)

    def result() -> dict:
        return metric.reset().update(*inputs).compute().per_class

    return Operation(sizes, pair.spec, inputs, lambda: metric.update(*inputs), result)


def _sem_seg(street: Street) -> Tensor:
    """`(B, H, W)` int64, as an argmax gives it: 0 for "things" as Detectron2 has it, or stuff."""
    index = street.stuff_map(street.blobs(1 + len(street.stuff), street.sizes.logits))
    return torch.cat([street.stuff.new_zeros(1), street.stuff])[index]


def _categories(street: Street) -> Tensor:
    """`(B, N)` category ids of the detections."""
    return street.things[street.ellipses.class_index]


#: Every public call that runs kernels of ours, and the sizes at which it is looked at.
CALLS: dict[str, tuple[Callable[..., Operation], Sizes]] = {
    "merge_panoptic": (merge_panoptic, Sizes()),
    "merge_panoptic_boxes": (merge_panoptic_boxes, Sizes()),
    "merge_panoptic_queries": (merge_panoptic_queries, Sizes()),
    "merge_panoptic_centers": (merge_panoptic_centers, Sizes()),
    "merge_pps": (merge_pps, Sizes()),
    "PPSPostProcessor": (post_processor, Sizes()),
    "PanopticQuality.update": (panoptic_quality, Sizes(batch=8)),
    "PartPanopticQuality.update": (part_panoptic_quality, Sizes(batch=8)),
}
