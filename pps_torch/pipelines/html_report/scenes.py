"""The images of an evaluation, read again: segment, part and error of each pixel that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.runs import Array
from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_runs import distinct_ids
from pps_torch.io.images import coded_ids, read_id_map
from pps_torch.io.pairing import find_files, ground_truth_suffixes, pps_suffixes
from pps_torch.io.pps_files import read_pps_map
from pps_torch.metrics import PanopticQuality, PartPanopticQuality
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.segment_records import image_records
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.part_maps import distinct_values, needed_capacity, with_capacity
from pps_torch.pipelines.running.unknown_ids import without_unknown
from pps_torch.reserved import VOID_ID
from pps_torch.specs import EvalSpec
from pps_torch.visualization import colorize_panoptic, colorize_pps, ground_truth_pps
from pps_torch.visualization.error_map import errors_of_pairs, with_wrong_parts


class Scene(NamedTuple):
    """The shown pixels of one image of an evaluation; the maps are `(h, w)` integers.

    Attributes:
        gt, pred: the segment of each pixel, by `SegmentRecord.index`; 0 is void.
        errors: the [`PixelError`][pps_torch.visualization.PixelError] of each pixel.
        gt_parts, pred_parts: the part of each pixel, 0 where the class has no parts; None for PQ.
        gt_picture, pred_picture: ground truth and prediction in colours, `(3, h, w)` uint8.
    """

    gt: Tensor
    pred: Tensor
    errors: Tensor
    gt_parts: Tensor | None
    pred_parts: Tensor | None
    gt_picture: Tensor
    pred_picture: Tensor


class PartScenes:
    """The scenes of an evaluation with PartPQ.

    Args:
        tables: the tables that the evaluation wrote.
        image_ids: the images that will be read.
        gt, pred: folders, in place of those that the tables name.
        palette: the colours, see [`colorize_pps`][pps_torch.visualization.colorize_pps].

    Raises:
        InputError, SpecError: files are missing.
    """

    def __init__(
        self,
        tables: Tables,
        image_ids: list[str],
        gt: Path | str | None,
        pred: Path | str | None,
        palette: str,
    ) -> None:
        self.tables, self.palette = tables, palette
        self.spec = EvalSpec.load(tables.inputs["eval_spec"])
        self.metric = PartPanopticQuality(self.spec, validate=True).to("cpu")
        gt, pred = gt or tables.inputs["gt_dir"], pred or tables.inputs["pred_dir"]
        self.gt_files = find_files(gt, image_ids, ground_truth_suffixes(gt), "ground truth")
        self.pred_files = find_files(pred, image_ids, pps_suffixes(pred), "PPS prediction")

    def read(self, image_id: str, side: int) -> Scene:
        """Read an image.

        Args:
            image_id: which one.
            side: what is shown has a longer side of at most so many pixels.

        Raises:
            InputError: its files are not those of the evaluation.
        """
        gt_file, pred_file = self.gt_files[image_id], self.pred_files[image_id]
        gt_image = read_id_map(gt_file)
        pred_image = read_pps_map(pred_file, gt_image.shape)
        distinct_uids, distinct_pps, lengths = distinct_values(gt_image, pred_image)
        shown = _shown_pixels(gt_image.shape, side)
        num_counted, size = len(lengths), (len(shown[0]), len(shown[1]))
        # Both as one row of pixels: first the combinations that are counted, then what is shown.
        row_of_uids = np.concatenate([distinct_uids, gt_image[shown].ravel()])
        row_of_pps = np.concatenate([distinct_pps, pred_image[shown].reshape(-1, 3)])
        uids = torch.from_numpy(row_of_uids[None])
        pps = torch.from_numpy(np.ascontiguousarray(row_of_pps.T[:, None]))
        with input_errors_at(f"image {image_id} ({gt_file}, {pred_file})"):
            capacity = needed_capacity(distinct_uids, distinct_pps, self.spec)
            metric = with_capacity(self.metric, capacity)
            counted = pps[..., :num_counted], uids[..., :num_counted]
            comparison = metric.compare_runs(*counted, torch.from_numpy(lengths[None]))
        _check_unchanged(comparison, self.tables, image_id)
        pred_map, gt_map = (
            ids[0, num_counted:].view(size) for ids in metric.segment_maps(pps, uids)
        )
        gt_pps = ground_truth_pps(uids[0, num_counted:].view(size), self.spec)
        shown_pps = pps[:, 0, num_counted:].reshape(3, *size)
        pps = torch.from_numpy(without_unknown(shown_pps.numpy(), self.spec))
        has_parts = torch.tensor([*self.spec.parts], device="cpu")
        gt_parts, pred_parts = (
            torch.where(torch.isin(sids, has_parts), pids, 0)
            for sids, _, pids in (gt_pps, pps.long())
        )
        errors = with_wrong_parts(_errors(comparison, gt_map, pred_map), gt_parts, pred_parts)
        gt_picture, pred_picture = (
            colorize_pps(m, self.spec, palette=self.palette) for m in (gt_pps, pps)
        )
        return Scene(gt_map, pred_map, errors, gt_parts, pred_parts, gt_picture, pred_picture)


class PanopticScenes:
    """The scenes of an evaluation with PQ; arguments as for `PartScenes`."""

    def __init__(
        self,
        tables: Tables,
        image_ids: list[str],
        gt: Path | str | None,
        pred: Path | str | None,
        palette: str,
    ) -> None:
        self.tables, self.palette = tables, palette
        inputs = tables.inputs
        gt_file = PanopticFile.load(
            inputs["gt_json_file"], gt or inputs["gt_folder"], allow_masks=True
        )
        pred_file = PanopticFile.load(
            inputs["pred_json_file"],
            pred or inputs["pred_folder"],
            is_prediction=True,
            allow_masks=True,
        )
        self.sizes = gt_file.sizes
        self.gt = gt_file.find_annotations(image_ids, Path(tables.name))
        self.pred = pred_file.find_annotations(image_ids, gt_file.path)
        self.categories = gt_file.categories
        rules = inputs.get("rules", "coco")
        self.metric = PanopticQuality(self.categories, rules=rules, validate=True).to("cpu")
        self.gt_files = {
            image_id: annotation.png if annotation.masks is None else Path(f"{image_id}.png")
            for image_id, annotation in self.gt.items()
        }

    def read(self, image_id: str, side: int) -> Scene:
        """Read an image; arguments and errors are those of `PartScenes.read`."""
        gt_info, pred_info = self.gt[image_id], self.pred[image_id]
        with input_errors_at(f"image {image_id} ({gt_info.png}, {pred_info.png})"):
            gt_image = gt_info.read_ids(self.sizes.get(image_id))
            images = gt_image, pred_info.read_ids(gt_image.shape[:2])
            shown = _shown_pixels(gt_image.shape[:2], side)
            # Both as one row of ids: first the combinations that are counted, then what is shown.
            combinations, lengths = distinct_ids(*images)
            gt_ids, pred_ids = (
                torch.from_numpy(np.concatenate([ids, coded_ids(image[shown]).ravel()])[None])
                for ids, image in zip(combinations, images)
            )
            gt = gt_info.target(gt_ids, allow_misfits=self.metric.rules.allows_misfits)
            pred = pred_info.prediction(pred_ids)
            num_counted, size = len(lengths), (len(shown[0]), len(shown[1]))
            comparison = self.metric.compare_runs(
                pred._replace(panoptic_seg=pred.panoptic_seg[:, :num_counted]),
                gt._replace(panoptic_seg=gt.panoptic_seg[:, :num_counted]),
                torch.from_numpy(lengths[None]),
            )
        _check_unchanged(comparison, self.tables, image_id)
        pred_map, gt_map = (
            ids[0, num_counted:].view(size) for ids in self.metric.segment_maps(pred, gt)
        )
        errors = _errors(comparison, gt_map, pred_map)
        gt_picture, pred_picture = (
            colorize_panoptic(
                panoptic._replace(panoptic_seg=_with_row(ids, panoptic)),
                self.categories,
                palette=self.palette,
            )
            for ids, panoptic in ((gt_map, gt), (pred_map, pred))
        )
        return Scene(gt_map, pred_map, errors, None, None, gt_picture, pred_picture)


def has_ground_truth(tables: Tables) -> bool:
    """Whether the ground truth was read from files; an evaluator may get it as tensors."""
    return not tables.part_aware or tables.inputs["gt_dir"] is not None


def _shown_pixels(size: tuple[int, ...], side: int) -> tuple[Array, Array]:
    """The rows `(h, 1)` and columns `(w,)` of the pixels that are shown: sampled, not averaged."""
    scale = max(1.0, max(size) / side)
    counts = [max(1, round(n / scale)) for n in size]
    rows, columns = (
        ((torch.arange(count, device="cpu") + 0.5) * n / count).long().numpy()
        for n, count in zip(size, counts)
    )
    return rows[:, None], columns


def _errors(comparison: SegmentComparison, gt_map: Tensor, pred_map: Tensor) -> Tensor:
    """The error of each pixel, by the pair of segments that it lies in."""
    return errors_of_pairs(
        gt_map.long(),
        pred_map.long(),
        comparison.matches,
        comparison.gt_class[0],
        comparison.pred_class[0],
        comparison.is_crowd[0],
    )


def _with_row(ids: Tensor, panoptic: PanopticSegmentation | PanopticTarget) -> Tensor:
    """A map of segments; void are pixels whose segment has no row, as its list does not fit."""
    return torch.where(ids > panoptic.category_ids.shape[-1], VOID_ID, ids)


def _check_unchanged(comparison: SegmentComparison, tables: Tables, image_id: str) -> None:
    """Raise InputError if an image has other segments than the tables."""
    (record,) = image_records(comparison)
    if record.segments != tables.images[image_id]:
        raise InputError(
            f"image {image_id}: expected the files of the evaluation, found that they have other "
            f"segments than {tables.name}_tables.json says; evaluate again"
        )
