"""Seeded random scenes, small enough for the slow oracles and rich in edge cases."""

from __future__ import annotations

import functools

import numpy as np
import torch

from pps_torch import DatasetSpec, EvalSpec
from tests.oracles.part_panoptic_quality import eval_part
from tests.oracles.uids import decode_uid

SIZES = ((1, 1), (1, 17), (13, 1), (6, 6), (9, 14), (20, 12))
BATCH_SHAPES = ((), (2,), (2, 3))
INTEGER_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)

CATEGORIES = [
    {"id": 3, "name": "road", "isthing": 0},
    {"id": 7, "name": "car", "isthing": 1},
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 200, "name": "sky", "isthing": 0},
]


def random_box(rng: np.random.Generator, height: int, width: int) -> tuple[slice, slice]:
    """A rectangle of at least one pixel."""
    y0, y1 = sorted(rng.integers(0, height + 1, 2))
    x0, x1 = sorted(rng.integers(0, width + 1, 2))
    return slice(min(y0, height - 1), max(y1, y0 + 1)), slice(min(x0, width - 1), max(x1, x0 + 1))


def draw(rng: np.random.Generator, canvas: np.ndarray, values, count: int) -> np.ndarray:
    """Paints rectangles, each with one of the values, over the canvas in place."""
    for _ in range(count):
        canvas[random_box(rng, *canvas.shape)] = rng.choice(values)
    return canvas


def speckle(rng: np.random.Generator, canvas: np.ndarray, values, share: float) -> None:
    """Gives that share of the pixels one of the values each, in place."""
    if share:
        is_hit = rng.random(canvas.shape) < share
        canvas[is_hit] = rng.choice(values, int(is_hit.sum()))


# Panoptic pairs


def segments_of(rng, ids: np.ndarray, categories: list[int], crowd_share: float) -> list[dict]:
    """A random category, and crowd or not, for each id of the map but 0; in random order."""
    found = [i for i in np.unique(ids).tolist() if i != 0]
    rng.shuffle(found)
    return [
        {
            "id": i,
            "category_id": int(rng.choice(categories)),
            "iscrowd": int(rng.random() < crowd_share),
        }
        for i in found
    ]


def panoptic_pair(
    rng: np.random.Generator,
    size: tuple[int, int],
    categories=CATEGORIES,
    num_ids: int = 12,
    speckled: float = 0,
):
    """(pred ids, pred segments, gt ids, gt segments): the prediction is a damaged copy.

    Among them: all void, one class, tiny segments, perfect predictions, several crowds. A map has
    fewer than `num_ids` segments; `speckled` is the share of pixels with an id of their own.
    """
    kind = rng.choice(["mixed", "mixed", "mixed", "one class", "perfect", "void gt", "void pred"])
    categories = [c["id"] for c in categories]
    if kind == "one class":
        categories = categories[:1]
    pool = rng.choice(1 << 24, num_ids, replace=False)
    pool[:2] = 0, (1 << 24) - 1
    gt_ids = draw(rng, np.full(size, rng.choice(pool[:3]), np.int64), pool, rng.integers(1, 9))
    speckle(rng, gt_ids, pool, speckled)
    gt_segments = segments_of(rng, gt_ids, categories, rng.choice([0, 0.3]))
    pred_ids = gt_ids.copy()
    if kind != "perfect":
        draw(rng, pred_ids, pool, rng.integers(1, 5))
    if kind == "void gt":
        gt_ids, gt_segments = np.zeros_like(gt_ids), []
    if kind == "void pred":
        pred_ids = np.zeros_like(pred_ids)
    known = {s["id"]: s["category_id"] for s in gt_segments}
    pred_segments = segments_of(rng, pred_ids, categories, 0)
    for segment in pred_segments:
        if rng.random() < 0.8:
            segment["category_id"] = known.get(segment["id"], segment["category_id"])
    return pred_ids, pred_segments, gt_ids, gt_segments


# Part-aware pairs


def remapped_spec() -> EvalSpec:
    """A spec that uses all its freedom: dataset and evaluation ids differ.

    Two dataset classes in one evaluation class (things and stuff), stuff with parts, parts by
    bare sid, an ignored part, several file pids of one part, and a class that is ignored.
    """
    parts = {"sedan": ["wheel", "door"], "van": ["door", "wheel", "roof"], "cat": [], "dog": []}
    parts.update({"lawn": [], "road": [], "fog": [], "tree": ["leaf", "trunk"]})
    dataset = DatasetSpec.from_dict(
        {
            "name": "toy",
            "scene_class2part_classes": parts,
            "scene_classes_with_instances": ["sedan", "van", "cat", "dog"],
            "scene_class2color": {name: [1, 2, 3] for name in parts},
            "countable_pids_groupings": {"van": {"wheel": [2, 4, 5], "roof": [3, 6]}},
        }
    )
    return EvalSpec.from_dict(
        {
            "version": "2.0",
            "ignore_label": 255,
            "dataset_sid2eval_sid": {
                1: 20, 2: 20, 3: 31, 4: 31, 5: 40, 6: 40, 8: 50, 0: "IGNORED", 7: "IGNORED",
                "DEFAULT": "IGNORED",
            },
            "dataset_sid_pid2eval_sid_pid": {
                1_01: 20_02, 1_02: 20_01, 2_01: 20_01, 2_02: 20_02, 2_03: "IGNORED", 2: 20_01,
                8_01: 50_01, 8_02: 50_02, 8: 50_02, "DEFAULT": "IGNORED",
            },
            "eval_sid_things": [20, 31],
            "eval_sid_stuff": [50, 40],
            "eval_sid_parts": [20, 50],
            "eval_sid_no_parts": [31, 40],
            "eval_sid_pid2eval_pid_flat": {20_01: 1, 20_02: 2, 50_01: 3, 50_02: 1},
            "eval_sid2scene_label": {31: "animal", 20: "vehicle", 40: "ground", 50: "tree"},
            "eval_pid_flat2scene_part_label": {1: "door or trunk", 2: "wheel", 3: "leaf"},
        },
        dataset,
    )  # fmt: skip


@functools.cache
def specs() -> dict[str, EvalSpec]:
    """The bundled specs and the remapped one."""
    bundled = ("cpp_default", "cpp_grouped", "ppp_default", "ppp_107")
    return {**{name: EvalSpec.load(name) for name in bundled}, "remapped": remapped_spec()}


def random_spec(rng: np.random.Generator) -> EvalSpec:
    """A spec of 1 to 6 evaluated classes with any ids, groups, parts and flat parts.

    Several dataset classes may be one evaluated class, and one or two are ignored; some parts have
    no evaluation part, and some of several classes share a flat id.
    """
    num_classes = int(rng.integers(1, 7))
    num_sids = num_classes + int(rng.integers(1, 4))
    eval_sids = rng.choice(np.arange(1, 99), num_classes, replace=False).tolist()
    targets = [*eval_sids, *rng.choice([*eval_sids, 0], num_sids - num_classes - 1).tolist(), 0]
    sids = {sid: targets[i] for i, sid in enumerate(rng.permutation(num_sids) + 1)}
    with_parts = [sid for sid in eval_sids if rng.random() < 0.6]
    things = [sid for sid in eval_sids if rng.random() < 0.5]
    sid_pids, flats = {}, {}
    for sid, eval_sid in sids.items():
        if eval_sid in with_parts:
            pids = rng.permutation(4)[:3].tolist()
            sid_pids |= {100 * sid + 1 + k: 100 * eval_sid + 1 + pid for k, pid in enumerate(pids)}
            if rng.random() < 0.3:
                sid_pids[100 * sid + 4] = "IGNORED"
            if rng.random() < 0.3:
                sid_pids[sid] = 100 * eval_sid + 1 + pids[0]
    for eval_sid in with_parts:
        numbers = rng.permutation(np.arange(1, 9))[:4].tolist()
        flats |= {100 * eval_sid + 1 + pid: number for pid, number in enumerate(numbers)}
    names = [f"class {sid}" for sid in range(1, num_sids + 1)]
    dataset = DatasetSpec.from_dict(
        {
            "name": "random",
            "scene_class2part_classes": {name: [*"abcd"] for name in names},
            "scene_classes_with_instances": names,
            "scene_class2color": {name: [0, 0, 0] for name in names},
        }
    )
    fields = {
        "version": "2.0",
        "ignore_label": 255,
        "dataset_sid2eval_sid": {int(k): v or "IGNORED" for k, v in sids.items()},
        "dataset_sid_pid2eval_sid_pid": {int(k): v for k, v in sid_pids.items()},
        "eval_sid_things": things,
        "eval_sid_stuff": [sid for sid in eval_sids if sid not in things],
        "eval_sid_parts": with_parts,
        "eval_sid_no_parts": [sid for sid in eval_sids if sid not in with_parts],
        "eval_sid_pid2eval_pid_flat": flats,
        "eval_sid2scene_label": {sid: f"evaluated {sid}" for sid in eval_sids},
        "eval_pid_flat2scene_part_label": {number: f"part {number}" for number in range(1, 9)},
    }
    return EvalSpec.from_dict(fields, dataset)


def uid_of(rng: np.random.Generator, sid: int, pids: list[int], highest: int = 999) -> int:
    """A random uid of a class: level absent, instance 0, 1..3 or the highest, part 0, any part."""
    level = rng.choice(3, p=[0.25, 0.15, 0.6])
    if level == 0 or sid == 0:
        return sid
    iid = int(rng.choice([0, 1, 1, 2, 3, highest]))
    if level == 1:
        return sid * 1000 + iid
    return (sid * 1000 + iid) * 100 + int(rng.choice(pids))


def pps_pair(
    rng: np.random.Generator,
    size: tuple[int, int],
    spec,
    highest: tuple[int, int] = (255, 999),
    num_uids: int = 8,
    speckled: float = 0,
):
    """(pps (3, H, W), uids (H, W)), both int64; the prediction is a damaged copy.

    `highest` are the highest instance ids of prediction and ground truth; `speckled` is the
    share of pixels with one of the `num_uids` of their own.

    The ground truth has crowds, ignored classes, segments without parts, explicit part 0, parts
    that the spec does not list, instance 0 and stuff with instances; the prediction has void and
    unknown classes, unknown parts (255), background (0), instances 0 and 255.
    """
    evaluated = spec.dataset_sid_to_eval_sid
    with_parts = [s for s in evaluated if evaluated[s] in spec.parts]
    ignored = [s for s in range(len(spec.dataset.scene_classes)) if s not in evaluated]
    pools = (list(evaluated), with_parts, with_parts, ignored)
    sids = [int(rng.choice(pool or list(evaluated))) for pool in pools]
    listed = {
        s: [p for d, p in spec.dataset_sid_pid_to_eval_sid_pid if d == s and p > 0] for s in sids
    }
    chosen = rng.choice(sids, num_uids)
    uids = [uid_of(rng, s, [0, 0, *listed[s] * 2, 77], highest[1]) for s in chosen]
    gt = draw(rng, np.full(size, rng.choice(uids), np.int64), uids, rng.integers(1, 10))
    speckle(rng, gt, uids, speckled)
    for _ in range(rng.integers(0, 6)):  # parts within a segment
        box = random_box(rng, *size)
        sid, pid = int(rng.choice(sids)), int(rng.choice([0, *listed[sids[1]], 1]))
        inside = (gt[box] > 99_999) & (gt[box] // 100_000 == sid)
        gt[box] = np.where(inside, gt[box] // 100 * 100 + pid, gt[box])

    pps = np.zeros((3, *size), np.int64)
    for uid in np.unique(gt).tolist():
        sid, iid, pid = decode_uid(uid)
        category = evaluated.get(sid, spec.ignore_label)
        part = eval_part(spec, sid, pid) or spec.ignore_label
        pps[:, gt == uid] = np.array([category, np.clip(iid, 0, highest[0]), part])[:, None]
    categories = [evaluated[s] for s in sids if s in evaluated]
    draw(rng, pps[0], [*categories, 255, 98], rng.integers(0, 3))
    draw(rng, pps[1], [0, 1, 2, 3, highest[0]], rng.integers(0, 4))
    draw(rng, pps[2], [0, 1, 2, 3, 4, 5, 254, 255], rng.integers(0, 5))
    return pps, gt


# Inputs of the merges


def instances(rng: np.random.Generator, size: tuple[int, int], count: int, class_ids):
    """(sem_seg, masks, scores, classes): overlaps, copies, empty masks, equal scores."""
    sem_seg = draw(rng, np.full(size, rng.choice(class_ids), np.int64), [*class_ids, 255], 6)
    masks = np.zeros((count, *size), bool)
    for i in range(count):
        kind = rng.choice(["box", "box", "boxes", "noise", "empty", "copy"])
        if kind == "boxes":
            masks[i][random_box(rng, *size)] = True
        if kind in ("box", "boxes"):
            masks[i][random_box(rng, *size)] = True
        if kind == "noise":
            masks[i] = rng.random(size) < 0.3
        if kind == "copy":
            masks[i] = masks[rng.integers(0, i + 1)]
    scores = rng.choice([0.25, 0.5, 0.5, 0.625, 0.75, 0.75, 1.0], count).astype(np.float32)
    return sem_seg, masks, scores, rng.choice(class_ids, count).astype(np.int64)


def boxed_instances(
    rng: np.random.Generator, size: tuple[int, int], count: int, mask_size: int = 7
):
    """(mask_probs (N, M, M), boxes (N, 4)): inside, across the border, outside, without area."""
    height, width = size
    coarse = rng.random((count, 2, 2)).repeat(4, 1).repeat(4, 2)[:, :mask_size, :mask_size]
    probs = np.resize(0.7 * coarse, (count, mask_size, mask_size))
    probs += 0.3 * rng.random(probs.shape)
    corners = rng.uniform(-0.3, 1.3, (count, 2, 2)) * [width, height]
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    on_pixels = rng.random(count) < 0.2
    boxes[on_pixels] = boxes[on_pixels].round()
    without_area = rng.random(count) < 0.1
    boxes[without_area, 2] = boxes[without_area, 0]
    return probs.astype(np.float32), boxes.astype(np.float32)


def queries(rng: np.random.Generator, size: tuple[int, int], count: int, num_classes: int):
    """(class_logits (Q, C + 1), mask_logits (Q, h, w)): sure, unsure, and "no object" queries."""
    class_logits = rng.normal(size=(count, num_classes + 1))
    class_logits[np.arange(count), rng.integers(0, num_classes + 1, count)] += rng.choice(
        [1, 5, 8], count
    )
    mask_logits = np.full((count, *size), -3.0)
    for logits in mask_logits:
        for _ in range(rng.integers(0, 3)):
            logits[random_box(rng, *size)] = 2
    mask_logits += rng.normal(size=mask_logits.shape)
    return class_logits.astype(np.float32), mask_logits.astype(np.float32)


def centers(rng: np.random.Generator, size: tuple[int, int], num_classes: int):
    """(semantic logits, heat map, offsets) with plateaus, equal heats and equally near centres."""
    logits = rng.normal(size=(num_classes, *size))
    for _ in range(4):
        logits[(rng.integers(num_classes), *random_box(rng, *size))] += 5
    heatmap = rng.choice([0, 0, 0, 0.125, 0.25, 0.25, 0.5, 0.75, 1.0], (1, *size))
    if rng.random() < 0.2:
        heatmap[:] = rng.choice([0.0, 0.5])
    offsets = rng.integers(-40, 41, (2, *size)) / 4
    return tuple(a.astype(np.float32) for a in (logits, heatmap, offsets))


def split_batches(rng: np.random.Generator, count: int) -> list[slice]:
    """Cuts 0..count into consecutive pieces of random lengths."""
    cuts = sorted({0, count, *rng.integers(0, count + 1, 3).tolist()})
    return [slice(a, b) for a, b in zip(cuts, cuts[1:])]
