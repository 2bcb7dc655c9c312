"""PartPQ and PQ of maps of a real image on the CPU, against the references and vernier."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.copied_images import CopiedImages
from benchmarks.on_device import compare_counts
from benchmarks.reference import SPEC as REFERENCE_SPEC
from benchmarks.reference import Reference, counts_by_class
from benchmarks.table import Difference, Goal, Measurement, Row, Spread
from benchmarks.timing import host_seconds
from benchmarks.vernier import Vernier
from pps_torch import (
    EvalSpec,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
    decode_uids,
    ids_to_rgb,
)
from pps_torch.io.images import read_id_map, read_rgb, read_rgb_ids

SPEC = EvalSpec.load("cpp_default")
NAMES = (
    "PartPQ of the image",
    "PQ of two maps",
    "PQ of two maps of 427 x 640",
    "PQ of two maps with two threads",
)
COCO_SIZE = (427, 640)


def rows_in_memory(images: CopiedImages, reference: Reference, rounds: int) -> list[Measurement]:
    """PartPQ with and without decoding, and PQ: at the image's size, at COCO's, with threads."""
    functions = (partpq_of_image, pq_of_maps, pq_of_coco_size, pq_with_two_threads)
    return [
        Measurement(name, partial(function, images, reference, rounds))
        for name, function in zip(NAMES, functions)
    ]


def partpq_of_image(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PartPQ of one image: the update alone, and with decoding."""
    root = images.make(1)
    gt_file, pred_file = root / "gt/copy_000000.tif", root / "merge_to_pps/copy_000000.png"
    metric = PartPanopticQuality(SPEC)

    def decode() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(read_rgb(pred_file)), torch.from_numpy(read_id_map(gt_file))

    maps = decode()
    metric.update(*maps)
    theirs = None
    if reference:
        found = json.loads(reference.call("partpq", REFERENCE_SPEC, gt_file, pred_file))
        compare_counts(metric.compute().per_class, counts_by_class(found["counts"]), 1e-9)
        theirs = Spread.of(found["seconds"])
    peer = {"peer": "panoptic_parts, with decoding", "theirs": theirs}
    in_memory = Spread.of(host_seconds(lambda: metric.reset().update(*maps), rounds))
    decoded = Spread.of(host_seconds(lambda: metric.reset().update(*decode()), rounds))
    return [
        Row(
            "PartPQ of the image, maps in memory",
            ours=in_memory,
            **peer,
            goal=Goal(at_least=350, at_most=0.040),
        ),
        Row("PartPQ of the image, with decoding", ours=decoded, **peer, goal=Goal(at_least=200)),
    ]


def pq_of_maps(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PQ of a pair of panoptic maps, as tensors and from maps of ids."""
    root = images.make(1)
    pred_ids, pred_info, gt_ids, gt_info = _id_maps(root)
    pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
    target = PanopticTarget.from_segments(gt_ids, gt_info)
    metric = PanopticQuality(SPEC).update(pred, target)
    api_seconds = None
    if reference:
        maps = {"pred": ids_to_rgb(pred_ids).numpy(), "gt": ids_to_rgb(gt_ids).numpy()}
        np.savez(root / "maps.npz", **{name: rgb.astype(np.uint32) for name, rgb in maps.items()})
        common = {"image_id": 1, "file_name": "map"}
        annotations = {
            "categories": SPEC.categories,
            "gt": {**common, "segments_info": gt_info},
            "pred": {**common, "segments_info": pred_info},
        }
        (root / "annotations.json").write_text(json.dumps(annotations))
        files = (root / "maps.npz", root / "annotations.json")
        found = json.loads(reference.call("pq", *files, rounds))
        compare_counts(metric.compute().per_class, counts_by_class(found["counts"]), 1e-9)
        api_seconds = Spread.of(found["seconds"])

    def from_ids() -> None:
        pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
        metric.reset().update(pred, PanopticTarget.from_segments(gt_ids, gt_info))

    update = Spread.of(host_seconds(lambda: metric.reset().update(pred, target), rounds))
    whole = Spread.of(host_seconds(from_ids, rounds))
    building, kernel = _vernier_seconds(metric, pred_ids, pred_info, gt_ids, gt_info, rounds)
    api = "panopticapi's matching, RGB maps in memory"
    as_tensors, from_maps = "PQ of two maps, as tensors", "PQ of two maps, from id maps"
    return [
        Row(as_tensors, ours=update, peer=api, theirs=api_seconds, goal=Goal(at_least=5)),
        Row(from_maps, ours=whole, peer=api, theirs=api_seconds),
        Row(as_tensors, ours=update, peer="vernier's kernel", theirs=kernel),
        Row(
            from_maps,
            ours=whole,
            peer="vernier, from id maps",
            theirs=building,
            goal=Goal(at_least=1),
        ),
    ]


def pq_of_coco_size(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PQ of the same maps, sampled at every few rows and columns, against vernier alone."""
    pred_ids, pred_info, gt_ids, gt_info = _id_maps(images.make(1))
    rows, columns = (
        torch.arange(n) * full // n for n, full in zip(COCO_SIZE, gt_ids.shape, strict=True)
    )
    maps = [ids[rows[:, None], columns].contiguous() for ids in (pred_ids, gt_ids)]
    infos = [
        [{**info, "area": area} for info in listed if (area := int((ids == info["id"]).sum()))]
        for ids, listed in zip(maps, (pred_info, gt_info))
    ]
    (pred_ids, gt_ids), (pred_info, gt_info) = maps, infos
    pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
    target = PanopticTarget.from_segments(gt_ids, gt_info)
    metric = PanopticQuality(SPEC).update(pred, target)

    def from_ids() -> None:
        pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
        metric.reset().update(pred, PanopticTarget.from_segments(gt_ids, gt_info))

    building, kernel = _vernier_seconds(metric, pred_ids, pred_info, gt_ids, gt_info, rounds)
    update = Spread.of(host_seconds(lambda: metric.reset().update(pred, target), rounds))
    whole = Spread.of(host_seconds(from_ids, rounds))
    size = "{} x {}".format(*COCO_SIZE)
    return [
        Row("PQ, as tensors", size, update, peer="vernier's kernel", theirs=kernel),
        Row("PQ, from id maps", size, whole, peer="vernier, from id maps", theirs=building),
    ]


def pq_with_two_threads(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PQ with two threads of torch against one: on a busy machine they must not wait in vain."""
    pred_ids, pred_info, gt_ids, gt_info = _id_maps(images.make(1))
    pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
    target = PanopticTarget.from_segments(gt_ids, gt_info)
    metric, threads = PanopticQuality(SPEC), torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in [1, 2] * rounds:
        torch.set_num_threads(number)
        seconds[number] += host_seconds(lambda: metric.reset().update(pred, target), 1)
    torch.set_num_threads(threads)
    one, two = (Spread.of(seconds[number]) for number in (1, 2))
    goal = Goal(at_least=2 / 3)
    return [Row("PQ, two threads", "", two, peer="PQ, one thread", theirs=one, goal=goal)]


def _id_maps(root) -> tuple[torch.Tensor, list[dict[str, Any]], torch.Tensor, list[dict[str, Any]]]:
    """Our merged prediction and the ground truth, as maps of ids with their segments."""
    pred_ids = torch.from_numpy(read_rgb_ids(root / "merge_to_panoptic/panoptic/copy_000000.png"))
    content = json.loads((root / "merge_to_panoptic/panoptic.json").read_text())
    sids, iids, _ = decode_uids(torch.from_numpy(read_id_map(root / "gt/copy_000000.tif")))
    is_evaluated = torch.isin(sids, torch.tensor(SPEC.eval_sids))
    gt_ids = torch.where(is_evaluated, sids * 1000 + iids.clamp(min=0), 0)
    numbers, areas = gt_ids.unique(return_counts=True)
    gt_info = [
        {
            "id": number,
            "category_id": number // 1000,
            "iscrowd": int(number % 1000 == 0 and number // 1000 in SPEC.things),
            "area": area,
        }
        for number, area in zip(numbers.tolist(), areas.tolist())
        if number
    ]
    return pred_ids, content["annotations"][0]["segments_info"], gt_ids, gt_info


def _vernier_seconds(
    metric: PanopticQuality,
    pred_ids: torch.Tensor,
    pred_info: list[dict],
    gt_ids: torch.Tensor,
    gt_info: list[dict],
    rounds: int,
) -> tuple[Spread | None, Spread | None]:
    """Seconds of the Rust evaluator with and without building its data set; None without it."""
    try:
        vernier = Vernier(SPEC.categories)
    except ImportError:
        return None, None
    gt, pred = ({1: gt_ids.numpy()}, {1: gt_info}), ({1: pred_ids.numpy()}, {1: pred_info})
    built = vernier.build(gt, pred)
    found = vernier.evaluate(built).pq
    if abs(found - metric.compute().summary["All"]["PQ"]) > 1e-9:
        raise Difference(f"vernier: PQ {found}, ours {metric.compute().summary}")
    from_maps = host_seconds(lambda: vernier.evaluate(vernier.build(gt, pred)), rounds)
    kernel = host_seconds(lambda: vernier.evaluate(built), rounds)
    return Spread.of(from_maps), Spread.of(kernel)
