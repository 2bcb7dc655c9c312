"""Draws numbered random scenes; those of a block share size and specs, so they can be one batch."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from pps_torch import PanopticSegmentation, PanopticTarget
from tests.factories import (
    CATEGORIES,
    boxed_instances,
    draw,
    instances,
    panoptic_pair,
    pps_pair,
    random_spec,
    specs,
)
from tests.oracles.part_iou import label_pixels

#: Scenes of a block.
BLOCK = 20

SIZES = ((1, 1), (1, 17), (13, 1), (6, 8), (9, 14), (14, 9), (16, 16), (20, 12), (24, 24))
SPECS = specs()

#: Highest instance ids: of a PPS file, of a uid, and of what only tensors hold.
CAPACITIES = (255, 999, 2000)


class Setting:
    """What the scenes of a block share.

    Args:
        seed: of the run.
        block: number of the block; its first scene is `BLOCK * block`.
    """

    def __init__(self, seed: int, block: int) -> None:
        rng = np.random.default_rng([seed, 0, block])
        self.size = SIZES[rng.integers(len(SIZES))]
        name = rng.choice([*SPECS, "random"])
        self.spec = random_spec(rng) if name == "random" else SPECS[name]
        self.categories = _categories(rng, self.spec)
        self.capacity = int(rng.choice(CAPACITIES))
        self.num_ids = int(rng.choice([4, 12, 12, 40]))
        self.num_uids = int(rng.choice([3, 8, 8, 30]))
        self.speckled = float(rng.choice([0, 0, 0.05, 0.5]))
        self.num_instances = int(rng.integers(0, 9))
        self.merging = {
            "score_threshold": float(rng.choice([0.0, 0.5, 0.7])),
            "overlap_threshold": float(rng.choice([0.0, 0.3, 0.5, 0.7, 1.0])),
            "stuff_area_limit": int(rng.choice([1, 4, 20])),
        }

    def pps_pair(self, rng: np.random.Generator):
        """(pps, uids) as arrays."""
        highest = self.capacity, min(self.capacity, 999)
        return pps_pair(rng, self.size, self.spec, highest, self.num_uids, self.speckled)

    def panoptic_pair(self, rng: np.random.Generator):
        """(pred ids, pred segments, gt ids, gt segments); half of the time with predicted void."""
        pair = panoptic_pair(rng, self.size, self.categories, self.num_ids, self.speckled)
        pred_ids, pred_segments, gt_ids, gt_segments = pair
        if rng.random() < 0.5:
            draw(rng, pred_ids, [0], 2)
            pred_segments = [s for s in pred_segments if (pred_ids == s["id"]).any()]
        return pred_ids, pred_segments, gt_ids, gt_segments


def _categories(rng: np.random.Generator, spec) -> list[dict]:
    """A few known ones, those of the spec, or one to twelve with any ids."""
    kind = rng.choice(["known", "spec", "random"])
    if kind != "random":
        return CATEGORIES if kind == "known" else spec.categories
    ids = rng.choice(1000, int(rng.integers(1, 13)), replace=False).tolist()
    return [{"id": i, "name": f"class {i}", "isthing": int(rng.random() < 0.5)} for i in ids]


class Scene:
    """One scene: inputs of every metric and merger, drawn when first asked for.

    The draws depend on the seed of the run and the number of the scene alone.
    """

    def __init__(self, seed: int, number: int, setting: Setting) -> None:
        self.seed, self.number, self.setting = seed, number, setting

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, self.number])

    @cached_property
    def panoptic(self):
        """The arguments of PQ's oracle."""
        return self.setting.panoptic_pair(self._rng(1))

    @cached_property
    def parts(self):
        """The arguments of PartPQ's oracle, but the spec: pps and uids."""
        return self.setting.pps_pair(self._rng(2))

    @cached_property
    def labels(self):
        """Pairs of scene classes and of flat parts, pixel by pixel, by the rule of PartIoU."""
        return label_pixels(*self.parts, self.setting.spec)

    @cached_property
    def heads(self):
        """The arguments of the merge's oracle: sem_seg, masks, scores, classes."""
        setting, rng = self.setting, self._rng(3)
        pool = rng.choice(setting.spec.eval_sids, 4)
        return instances(rng, setting.size, setting.num_instances, pool)

    @cached_property
    def part_seg(self) -> np.ndarray:
        """Flat part ids, unknown ones too."""
        highest = self.setting.spec.highest_flat_pid
        return self._rng(4).choice([*range(highest + 2), 255], self.setting.size)

    @cached_property
    def boxes(self):
        """Mask probabilities and boxes of the instances."""
        return boxed_instances(self._rng(5), self.setting.size, self.setting.num_instances)


def panoptic_tensors(pair, capacity: int | None, device: torch.device):
    """The two arguments of `PanopticQuality.update`."""
    pred_ids, pred_segments, gt_ids, gt_segments = pair
    images = (
        PanopticSegmentation.from_segments(
            torch.from_numpy(pred_ids), pred_segments, capacity=capacity
        ),
        PanopticTarget.from_segments(torch.from_numpy(gt_ids), gt_segments, capacity=capacity),
    )
    return tuple(type(image)(*(field.to(device) for field in image)) for image in images)


def tensors(arrays, device: torch.device) -> list[torch.Tensor]:
    """Arrays as tensors on the device."""
    return [torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays]


def stacked(images: list) -> list:
    """Arguments of one image each -> those of a batch: tensors or NamedTuples of them."""
    batch = []
    for column in zip(*images):
        first = column[0]
        if isinstance(first, torch.Tensor):
            batch.append(torch.stack(column))
        else:
            batch.append(type(first)(*(torch.stack(field) for field in zip(*column))))
    return batch
