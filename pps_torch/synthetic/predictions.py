"""Imperfect predictions of a street, as three networks might make them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.formats import decode_uids
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.labels import (
    BUILDING,
    POLE,
    ROAD,
    SIDEWALK,
    SKY,
    TERRAIN,
    VEGETATION,
)
from pps_torch.synthetic.random_shapes import blob, pick, smooth_noise
from pps_torch.synthetic.street import StreetScene


class Detection(NamedTuple):
    """One predicted instance: `mask` `(H, W)` bool, its class, and its score in 0..1."""

    mask: Tensor
    category_id: int
    score: float


class StreetPrediction(NamedTuple):
    """The predictions of three networks for a street.

    Attributes:
        semantic: `(H, W)` uint8, evaluation scene classes.
        part_seg: `(H, W)` uint8, flat part ids, 0 where no part is seen.
        detections: instances, in no particular order.
    """

    semantic: Tensor
    part_seg: Tensor
    detections: list[Detection]


def predict_imperfectly(scene: StreetScene, spec: EvalSpec, seed: int = 0) -> StreetPrediction:
    """Predict a street with the usual faults; the same seed makes the same ones.

    Borders wobble, patches are of a wrong class, small parts are overlooked, instances are
    missing, doubled, shifted, eroded, merged with a neighbour, of a wrong class, or invented.

    Args:
        scene: the street.
        spec: the classes that are predicted.
        seed: which faults.
    """
    rng = np.random.default_rng(seed)
    sids, iids, pids = (ids.numpy() for ids in decode_uids(scene.uids))
    classes, parts = _perfect_maps(sids, pids, spec)
    semantic = _with_wrong_patches(_wobble(classes, rng), spec, rng)
    part_seg = _with_wrong_parts(_wobble(parts, rng), spec, rng)
    detections = _detections(_wobble(_instance_ids(classes, sids, iids, spec), rng), spec, rng)
    return StreetPrediction(
        torch.from_numpy(semantic.astype(np.uint8)),
        torch.from_numpy(part_seg.astype(np.uint8)),
        detections,
    )


def _perfect_maps(
    sids: np.ndarray, pids: np.ndarray, spec: EvalSpec
) -> tuple[np.ndarray, np.ndarray]:
    """The evaluation class and flat part of each pixel, also where the ground truth has none."""
    class_of_sid = np.full(100, spec.ignore_label)
    flat_of_sid_pid = np.zeros((100, 101), dtype=np.int64)
    for sid, eval_sid in spec.dataset_sid_to_eval_sid.items():
        class_of_sid[sid] = eval_sid
    for (sid, pid), eval_sid_pid in spec.dataset_sid_pid_to_eval_sid_pid.items():
        flat_of_sid_pid[sid, pid + 1] = spec.eval_sid_pid_to_flat.get(eval_sid_pid, 0)
    classes, parts = class_of_sid[sids], flat_of_sid_pid[sids, pids + 1]
    for eval_sid in spec.parts:
        here = classes == eval_sid
        counts = np.bincount(parts[here & (parts > 0)])
        if counts.size:
            parts[here & (parts == 0)] = counts.argmax()

    rows = np.arange(len(classes))[:, None]
    nearest_above = np.maximum.accumulate(np.where(classes != spec.ignore_label, rows, 0))
    return np.take_along_axis(classes, nearest_above, 0), parts


def _instance_ids(
    classes: np.ndarray, sids: np.ndarray, iids: np.ndarray, spec: EvalSpec
) -> np.ndarray:
    """Make one id per instance, class * 1000 + number; 0 elsewhere. Crowds are cut into a few."""
    columns = np.arange(sids.shape[1]) * 24 // sids.shape[1]
    numbers = np.where(iids >= 0, iids, 900 + columns)
    is_thing = np.isin(classes, spec.things) & np.isin(sids, list(spec.dataset_sid_to_eval_sid))
    return np.where(is_thing, classes * 1000 + numbers, 0)


def _wobble(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Displace the borders of a map."""
    height, width = ids.shape
    cells, reach = (26, 26 * width // height + 1), height / 400
    down, right = (np.rint(reach * smooth_noise(ids.shape, cells, rng)) for _ in range(2))
    rows = (np.arange(height)[:, None] + down.astype(int)).clip(0, height - 1)
    columns = (np.arange(width) + right.astype(int)).clip(0, width - 1)
    return ids[rows, columns]


_LOOKS_LIKE = {
    ROAD: (SIDEWALK, TERRAIN),
    SIDEWALK: (ROAD, TERRAIN),
    BUILDING: (POLE, VEGETATION),
    VEGETATION: (TERRAIN, BUILDING),
    TERRAIN: (VEGETATION, SIDEWALK),
    SKY: (BUILDING, VEGETATION),
}


def _with_wrong_patches(
    classes: np.ndarray, spec: EvalSpec, rng: np.random.Generator
) -> np.ndarray:
    for _ in range(12):
        patch = blob(classes.shape, rng, reach=0.09)
        true_class = pick(rng, classes[patch])
        wrong_class = pick(rng, _LOOKS_LIKE.get(true_class, (BUILDING,)))
        if wrong_class in spec.stuff:
            classes[patch & (classes == true_class)] = wrong_class
    return classes


def _with_wrong_parts(parts: np.ndarray, spec: EvalSpec, rng: np.random.Generator) -> np.ndarray:
    flats = {
        sid: [spec.eval_sid_pid_to_flat[sid, pid] for pid in spec.part_pids[sid]]
        for sid in spec.parts
    }
    areas = np.bincount(parts.ravel(), minlength=spec.highest_flat_pid + 1)
    for class_flats in flats.values():
        largest = max(class_flats, key=lambda flat: areas[flat])
        for flat in class_flats:
            if areas[flat] < 0.1 * areas[largest] and rng.random() < 0.25:
                parts[parts == flat] = largest
    for _ in range(12):
        patch = blob(parts.shape, rng, reach=0.1) & (parts > 0)
        parts[patch] = pick(rng, flats[pick(rng, spec.parts)])
    return parts


def _detections(
    instance_ids: np.ndarray, spec: EvalSpec, rng: np.random.Generator
) -> list[Detection]:
    faults = ["none", "missing", "doubled", "shifted", "eroded", "merged", "confused"]
    chances = [0.66, 0.07, 0.05, 0.05, 0.06, 0.04, 0.07]
    detections = []
    ids, areas = np.unique(instance_ids[instance_ids > 0], return_counts=True)
    least_area = instance_ids.size / 10_000
    for place, (instance_id, area) in enumerate(zip(ids.tolist(), areas.tolist(), strict=True)):
        mask, category = instance_ids == instance_id, instance_id // 1000
        fault = rng.choice(faults, p=chances)
        score = min(0.99, rng.uniform(0.62, 0.99) + 0.1 * (area > 20 * least_area))
        if fault == "missing" or area < least_area * rng.uniform(0, 1.5):
            continue
        if fault == "doubled":
            moved = _moved(mask, *_random_step(0.02 * len(mask), rng))
            detections.append(_detection(moved, category, 0.8 * score))
        elif fault == "shifted":
            mask = _moved(mask, *_random_step(0.04 * len(mask), rng))
        elif fault == "eroded":
            mask = _eroded(mask, max(1, round(0.12 * area**0.5)))
        elif fault == "merged" and place + 1 < len(ids) and ids[place + 1] // 1000 == category:
            mask = mask | (instance_ids == ids[place + 1])
        elif fault == "confused":
            category = pick(rng, [sid for sid in spec.things if sid != category])
        if mask.any():
            detections.append(_detection(mask, category, score))
    for score in (0.35, 0.45, rng.uniform(0.5, 0.7), rng.uniform(0.5, 0.9)):
        invented = blob(instance_ids.shape, rng, reach=0.08)
        detections.append(_detection(invented, pick(rng, spec.things), score))
    return detections


def _detection(mask: np.ndarray, category: int, score: float) -> Detection:
    return Detection(torch.from_numpy(mask), int(category), float(score))


def _random_step(reach: float, rng: np.random.Generator) -> tuple[int, int]:
    down, right = rng.uniform(-reach, reach, size=2).round().astype(int).tolist()
    return down, right


def _moved(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move a mask; what leaves on one side does not return on the other."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    target = moved[max(0, down) : height + down, max(0, right) : width + right]
    target[:] = mask[max(0, -down) : height - down, max(0, -right) : width - right]
    return moved


def _eroded(mask: np.ndarray, reach: int) -> np.ndarray:
    steps = ((reach, 0), (-reach, 0), (0, reach), (0, -reach))
    return np.logical_and.reduce([mask, *(_moved(mask, *step) for step in steps)])
