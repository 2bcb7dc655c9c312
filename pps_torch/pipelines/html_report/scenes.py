"""The images of an evaluation, read again: segment, part and error of each pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.images import read_id_map, read_pps, read_rgb_ids
from pps_torch.io.pairing import find_files, ground_truth_suffixes
from pps_torch.metrics import PanopticQuality, PartPanopticQuality
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.segment_records import image_records
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.running.unknown_ids import without_unknown
from pps_torch.specs import EvalSpec
from pps_torch.visualization import colorize_panoptic, colorize_pps, ground_truth_pps
from pps_torch.visualization.error_map import errors_of_pairs, with_wrong_parts

#: Pixels whose errors are looked up at once, by numbers of eight bytes.
_BLOCK = 1 << 21


class Scene(NamedTuple):
    """One image of an evaluation. Maps are `(H, W)` integers.

    Attributes:
        gt, pred: the segment of each pixel, by `SegmentRecord.index`; 0 is void.
        errors: the [`PixelError`][pps_torch.visualization.PixelError] of each pixel.
        gt_parts, pred_parts: the part of each pixel, 0 where the class has no parts; None for PQ.
        draw: a function of rows `(h, 1)` and columns `(w,)` that draws these pixels of ground
            truth and prediction, `(3, h, w)` uint8 each.
    """

    gt: Tensor
    pred: Tensor
    errors: Tensor
    gt_parts: Tensor | None
    pred_parts: Tensor | None
    draw: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
        self.metric = PartPanopticQuality(self.spec, validate=True)
        gt, pred = gt or tables.inputs["gt_dir"], pred or tables.inputs["pred_dir"]
        self.gt_files = find_files(gt, image_ids, ground_truth_suffixes(gt), "ground truth")
        self.pred_files = find_files(pred, image_ids, (".png",), "PPS prediction")

    def read(self, image_id: str) -> Scene:
        """Read an image.

        Raises:
            InputError: its files are not those of the evaluation.
        """
        gt_file, pred_file = self.gt_files[image_id], self.pred_files[image_id]
        uids = torch.from_numpy(read_id_map(gt_file))
        height, width = uids.shape
        predicted = read_pps(pred_file, (height, width))
        pps = torch.from_numpy(predicted)
        with input_errors_at(f"image {image_id} ({gt_file}, {pred_file})"):
            comparison = self.metric.compare(pps, uids)
        _check_unchanged(comparison, self.tables, image_id)
        pred_map, gt_map = self.metric.segment_maps(pps, uids)
        gt_pps = ground_truth_pps(uids, self.spec)
        pps = torch.from_numpy(without_unknown(predicted, self.spec))
        has_parts = torch.tensor([*self.spec.parts])
        gt_parts, pred_parts = (
            torch.where(torch.isin(sids, has_parts), pids, 0)
            for sids, _, pids in (gt_pps, pps.long())
        )
        errors = with_wrong_parts(_errors(comparison, gt_map, pred_map), gt_parts, pred_parts)

        def draw(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
            maps = (m[:, rows, columns].contiguous() for m in (gt_pps, pps.long()))
            gt, pred = (colorize_pps(m, self.spec, palette=self.palette) for m in maps)
            return gt, pred

        return Scene(gt_map, pred_map, errors, gt_parts, pred_parts, draw)


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
        gt_file = PanopticFile.load(inputs["gt_json_file"], gt or inputs["gt_folder"])
        pred_file = PanopticFile.load(
            inputs["pred_json_file"], pred or inputs["pred_folder"], is_prediction=True
        )
        self.gt = gt_file.find_annotations(image_ids, Path(tables.name))
        self.pred = pred_file.find_annotations(image_ids, gt_file.path)
        self.categories = gt_file.categories
        rules = inputs.get("rules", "coco")
        self.metric = PanopticQuality(self.categories, rules=rules, validate=True)
        self.gt_files = {image_id: annotation.png for image_id, annotation in self.gt.items()}

    def read(self, image_id: str) -> Scene:
        """Read an image.

        Raises:
            InputError: its files are not those of the evaluation.
        """
        gt_info, pred_info = self.gt[image_id], self.pred[image_id]
        with input_errors_at(f"image {image_id} ({gt_info.png}, {pred_info.png})"):
            gt = gt_info.target(torch.from_numpy(read_rgb_ids(gt_info.png)))
            height, width = gt.panoptic_seg.shape
            pred = pred_info.prediction(
                torch.from_numpy(read_rgb_ids(pred_info.png, (height, width)))
            )
            comparison = self.metric.compare(pred, gt)
        _check_unchanged(comparison, self.tables, image_id)
        pred_map, gt_map = self.metric.segment_maps(pred, gt)
        errors = _errors(comparison, gt_map, pred_map)

        def draw(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
            gt_picture, pred_picture = (
                colorize_panoptic(
                    panoptic._replace(panoptic_seg=panoptic.panoptic_seg[rows, columns]),
                    self.categories,
                    palette=self.palette,
                )
                for panoptic in (gt, pred)
            )
            return gt_picture, pred_picture

        return Scene(gt_map, pred_map, errors, None, None, draw)


def has_ground_truth(tables: Tables) -> bool:
    """Whether the ground truth was read from files; an evaluator may get it as tensors."""
    return not tables.part_aware or tables.inputs["gt_dir"] is not None


def _errors(comparison: SegmentComparison, gt_map: Tensor, pred_map: Tensor) -> Tensor:
    """The error of each pixel, by the pair of segments that it lies in."""
    pair_errors = errors_of_pairs(
        comparison.matches, comparison.gt_class[0], comparison.pred_class[0], comparison.is_crowd[0]
    )
    rows = max(1, _BLOCK // gt_map.shape[1])
    errors = torch.empty(gt_map.shape, dtype=pair_errors.dtype)
    for gt, pred, block in zip(gt_map.split(rows), pred_map.split(rows), errors.split(rows)):
        block.copy_(pair_errors[gt.long(), pred.long()])
    return errors


def _check_unchanged(comparison: SegmentComparison, tables: Tables, image_id: str) -> None:
    """Raise InputError if an image has other segments than the tables."""
    if image_records(comparison)[0].segments != tables.images[image_id]:
        raise InputError(
            f"image {image_id}: expected the files of the evaluation, found that they have other "
            f"segments than {tables.name}_tables.json says; evaluate again"
        )
