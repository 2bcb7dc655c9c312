"""Operations on a device against what users call otherwise; their share of a network's time.

`rows_on_device` is the table: what runs, at which sizes, against whom, and what must be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import operations
from benchmarks.operations import Operation
from benchmarks.peers import Detectron2, Mask2Former, PPSBySegment, Segments, TorchMetrics
from benchmarks.reference import Reference
from benchmarks.scenes import Sizes, category_map, panoptic_pair
from benchmarks.table import Difference, Goal, Measurement, NotRun, Row, Spread
from benchmarks.timing import Clock, num_bytes, tensors_of
from pps_torch import PanopticQuality, PanopticSegmentation, PartPanopticQuality

#: Share of the pixels that may differ where both sides sample by interpolation: a sample within
#: rounding of the threshold, or of another channel, may fall either way.
SAMPLED = 1e-4


@dataclass
class Device:
    """Where and how small the operations run, and where the peers are."""

    device: torch.device
    scale: float = 1.0
    rounds: int = 50
    detectron2_dir: Path | None = None
    mask2former_dir: Path | None = None
    reference: Reference = field(default_factory=Reference)

    @property
    def has_goals(self) -> bool:
        """The goals hold for the full size on a GPU."""
        return self.device.type == "cuda" and self.scale == 1

    @cached_property
    def clock(self) -> Clock:
        """The clock of this device."""
        return Clock(self.device, self.rounds)

    @cached_property
    def bandwidth(self) -> float:
        """Bytes a second of a copy, measured once in a run."""
        return self.clock.copy_bandwidth()

    @cached_property
    def detectron2(self) -> Detectron2:
        """Raise NotRun where it cannot be imported."""
        return Detectron2(self.detectron2_dir)


@dataclass
class PeerRun:
    """A peer on our scene: its result, and a call to time or the seconds that it measured."""

    result: object
    run: Callable[[], object] | None = None
    seconds: Sequence[float] = ()


@dataclass(frozen=True)
class DeviceRow:
    """One row: our operation against a peer. `compare` raises Difference."""

    name: str
    things: str
    sizes: Sizes
    operation: Callable[[Sizes, torch.device], Operation]
    peer: Callable[[Device, Operation], PeerRun]
    peer_name: str
    compare: Callable[[object, object], None]
    goal: Goal

    def measure(self, device: Device) -> list[Row]:
        """Compare with the peer, then time both."""
        sizes = self.sizes.scaled(device.scale)
        operation = self.operation(sizes, device.device)
        row = Row(self.name, sizes.text(self.things), peer=self.peer_name)
        row.goal = self.goal if device.has_goals else Goal()
        ours = operation.result()
        try:
            peer = self.peer(device, operation)
        except NotRun as missing:
            peer, row.note = None, f"peer not run: {missing}"
        if peer is not None:
            self.compare(ours, peer.result)
            row.theirs = device.clock.called(peer.run) if peer.run else Spread.of(peer.seconds)
        row.floor = operation.moved_bytes() / device.bandwidth
        time_ours(row, device, operation.run)
        return [row]


def rows_on_device(device: Device) -> list[Measurement]:
    """The rows of one image of 1024 x 2048, or of a batch of 8."""
    rows = [
        DeviceRow(
            "merge_panoptic",
            "masks",
            Sizes(),
            operations.merge_panoptic,
            combine_masks,
            "Detectron2: combine",
            partial(compare_panoptic, tolerance=0),
            Goal(at_least=60, floors=3),
        ),
        DeviceRow(
            "merge_panoptic_boxes",
            "detections",
            Sizes(),
            operations.merge_panoptic_boxes,
            paste_and_combine,
            "Detectron2: paste, combine",
            partial(compare_panoptic, tolerance=SAMPLED),
            Goal(at_least=100, at_most=0.25e-3),
        ),
        DeviceRow(
            "PPSPostProcessor",
            "detections, logits at 1/4",
            Sizes(),
            operations.post_processor,
            post_process,
            "Detectron2's post-processing, then a PPS merge by segment",
            partial(compare_pps, tolerance=SAMPLED),
            Goal(at_least=50, floors=2, at_most=0.3e-3),
        ),
        DeviceRow(
            "merge_panoptic_queries",
            "queries at 1/4, upsampled",
            Sizes(),
            operations.merge_panoptic_queries,
            query_inference,
            "Mask2Former: upsampling, panoptic_inference",
            partial(compare_panoptic, tolerance=SAMPLED),
            Goal(at_least=30),
        ),
        DeviceRow(
            "PanopticQuality.update",
            "instances",
            Sizes(batch=8),
            operations.panoptic_quality,
            torchmetrics_update,
            "torchmetrics: PanopticQuality.update",
            partial(compare_counts, tolerance=1e-4),
            Goal(at_least=500, floors=4),
        ),
        DeviceRow(
            "PartPanopticQuality.update",
            "instances",
            Sizes(batch=8),
            operations.part_panoptic_quality,
            panoptic_parts_counts,
            "panoptic_parts on one CPU core, maps in memory",
            partial(compare_counts, tolerance=1e-9),
            Goal(at_least=50_000, floors=6),
        ),
    ]  # fmt: skip
    return [Measurement(row.name, partial(row.measure, device)) for row in rows]


def time_ours(row: Row, device: Device, run: Callable[[], object]) -> None:
    """Time the call, and its replay from a CUDA graph, whose output must be the same."""
    row.ours = device.clock.called(run)
    replayed = device.clock.replayed(run)
    if replayed is None:
        return
    row.replayed, output = replayed
    pairs = zip(tensors_of(run()), tensors_of(output), strict=True)
    if not all(torch.equal(*pair) for pair in pairs):
        raise Difference("replayed from a CUDA graph, the output is another than called")


# What the peers do with the inputs of our operations; each takes one image


def combine_masks(device: Device, operation: Operation) -> PeerRun:
    """Detectron2's merge of the same masks."""
    peer, limit = device.detectron2, operation.sizes.stuff_area_limit
    image = [tensor[0] for tensor in operation.inputs]
    return _peer_run(lambda: peer.combine(*image, limit))


def paste_and_combine(device: Device, operation: Operation) -> PeerRun:
    """Detectron2's pasting of the masks, and its merge."""
    peer, sizes = device.detectron2, operation.sizes
    sem_seg, mask_probs, boxes, scores, classes = (tensor[0] for tensor in operation.inputs)

    def run() -> Segments:
        masks = peer.paste(mask_probs, boxes, sizes.image)
        return peer.combine(sem_seg, masks, scores, classes, sizes.stuff_area_limit)

    return _peer_run(run)


def post_process(device: Device, operation: Operation) -> PeerRun:
    """Detectron2's upsampling, pasting and merge, and panoptic_parts' PPS merge in torch."""
    peer, sizes, spec = device.detectron2, operation.sizes, operation.spec
    image = [tensor[0] for tensor in operation.inputs]
    sem_seg_logits, mask_probs, boxes, scores, class_indices, part_logits = image
    ids_of_channels = torch.tensor([0 if sid in spec.things else sid for sid in spec.eval_sids])
    ids_of_channels = ids_of_channels.to(device.device)  # 0 is "things" in Detectron2's merge
    flat_ids = torch.tensor(sorted({0, *spec.eval_sid_pid_to_flat.values()}), device=device.device)
    categories = torch.tensor(spec.things, device=device.device)[class_indices]
    merge_pps = PPSBySegment(spec, device.device)

    def run() -> tuple[Segments, Tensor]:
        sem_seg = ids_of_channels[peer.best_channel(sem_seg_logits, sizes.image)]
        masks = peer.paste(mask_probs, boxes, sizes.image)
        panoptic = peer.combine(sem_seg, masks, scores, categories, sizes.stuff_area_limit)
        part_seg = flat_ids[peer.best_channel(part_logits, sizes.image)]
        return panoptic, merge_pps(panoptic, part_seg)

    return _peer_run(run)


def query_inference(device: Device, operation: Operation) -> PeerRun:
    """Mask2Former's upsampling and panoptic inference."""
    peer = Mask2Former(device.mask2former_dir, device.detectron2_dir)
    spec, size = operation.spec, operation.sizes.image
    things = [index for index, sid in enumerate(spec.eval_sids) if sid in spec.things]
    class_logits, mask_logits = (tensor[0] for tensor in operation.inputs)
    return _peer_run(lambda: peer.panoptic(class_logits, mask_logits, size, things))


def torchmetrics_update(device: Device, operation: Operation) -> PeerRun:
    """torchmetrics' update with (category, segment) at each pixel."""
    peer = TorchMetrics(operation.spec, device.device)
    unknown = max(operation.spec.eval_sids) + 1
    pred, target = (
        torch.stack([category_map(maps, unknown).int(), maps.panoptic_seg], -1)
        for maps in operation.inputs
    )
    peer.metric.update(pred, target)
    return PeerRun(peer.per_class(), lambda: peer.metric.update(pred, target))


def panoptic_parts_counts(device: Device, operation: Operation) -> PeerRun:
    """panoptic_parts' evaluation of the same maps, timed in its own interpreter."""
    if not device.reference:
        raise NotRun("--reference_python and --reference_dir are not given")
    pps, gt_uids = (tensor.cpu().numpy() for tensor in operation.inputs)
    found = device.reference.partpq_of_maps(pps, gt_uids)
    return PeerRun(found["counts"], seconds=found["seconds"])


def _peer_run(run: Callable[[], object]) -> PeerRun:
    return PeerRun(run(), run)


# Comparison


def compare_panoptic(ours: PanopticSegmentation, theirs: Segments, tolerance: float) -> None:
    """The same segments in the same order, and the same map but for a share of the pixels."""
    panoptic_seg, segments_info = theirs
    found = [info["category_id"] for info in ours.segments_info()[0]]
    expected = [info["category_id"] for info in segments_info]
    if found != expected:
        raise Difference(f"categories of the segments: ours {found}, the peer's {expected}")
    _compare_maps("panoptic_seg", ours.panoptic_seg[0], panoptic_seg, tolerance)


def compare_pps(
    ours: tuple[PanopticSegmentation, Tensor], theirs: tuple[Segments, Tensor], tolerance: float
) -> None:
    """As `compare_panoptic`, and the PPS map."""
    compare_panoptic(ours[0], theirs[0], tolerance)
    _compare_maps("PPS map", ours[1][0], theirs[1], tolerance)


def compare_counts(ours: dict[int, dict], theirs: dict[int, dict], tolerance: float) -> None:
    """The same TP, FP and FN of each class; IoU sums may differ by `tolerance`."""
    for sid, expected in theirs.items():
        found = {name: ours[sid][name] for name in ("iou", "tp", "fp", "fn")}
        same = all(found[name] == expected[name] for name in ("tp", "fp", "fn"))
        if not same or abs(found["iou"] - expected["iou"]) > tolerance:
            raise Difference(f"class {sid}: ours {found}, the peer's {expected}")


def _compare_maps(name: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    share = (ours != theirs).float().mean().item()
    if share > tolerance:
        raise Difference(f"{name}: {share:.2%} of the values differ")


# Share of a network's time, and peak memory


def share_of_forward(device: Device) -> list[Measurement]:
    """Merging and scoring of one image against the forward pass that it follows."""
    name = "PPSPostProcessor + PanopticQuality + PartPanopticQuality"
    return [Measurement(name, partial(_measure_share, device, name))]


def _measure_share(device: Device, name: str) -> list[Row]:
    sizes = Sizes().scaled(device.scale)
    operation = operations.post_processor(sizes, device.device)
    pair = panoptic_pair(sizes, device.device)
    scores = [PanopticQuality(pair.spec), PartPanopticQuality(pair.spec)]
    pq, partpq = (metric.to(device.device) for metric in scores)

    def run() -> tuple:
        panoptic, pps = operation.run()
        pq.update(panoptic, pair.target)
        partpq.update(pps, pair.gt_uids)
        return panoptic, pps

    row = Row(name, sizes.text("detections"), peer="Panoptic FPN R50's forward pass (2 % is 50x)")
    row.goal = Goal(at_least=50) if device.has_goals else Goal()
    try:
        model = device.detectron2.panoptic_fpn(device.device)
        image = torch.randint(256, (3, *sizes.image), dtype=torch.uint8, device=device.device)

        @torch.no_grad()
        def forward() -> object:
            return model.inference([{"image": image}], do_postprocess=False)

        row.theirs = device.clock.called(forward)
    except NotRun as missing:
        row.note = f"peer not run: {missing}"
    time_ours(row, device, run)
    return [row]


def peak_memory(device: Device) -> list[Measurement]:
    """Memory beyond inputs and outputs: 200 detections at 2160 x 3840."""
    names = {
        "merge_panoptic_boxes": operations.merge_panoptic_boxes,
        "PPSPostProcessor": operations.post_processor,
    }
    obstacle = "" if device.device.type == "cuda" else "only CUDA's allocator counts the peak"
    return [
        Measurement(name, partial(_measure_peak, device, name, operation), obstacle)
        for name, operation in ((f"peak of {name}", op) for name, op in names.items())
    ]


def _measure_peak(device: Device, name: str, operation: Callable) -> Iterable[Row]:
    sizes = Sizes(2160, 3840, instances=200).scaled(device.scale)
    run = operation(sizes, device.device).run
    run()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    output = run()
    peak = torch.cuda.max_memory_allocated() - before - num_bytes(output)
    spread = Spread.of([peak / 2**20])
    goal = Goal(at_most=64) if device.has_goals else Goal()
    return [
        Row(f"{name}, beyond the outputs", sizes.text("detections"), spread, goal=goal, unit="MiB")
    ]
