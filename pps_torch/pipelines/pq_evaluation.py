"""PQ of COCO panoptic predictions against ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np  # before torch: by torch it is imported in C, where Ctrl-C is lost
import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.io.coco_panoptic import (
    PanopticAnnotation,
    PanopticFile,
    contradiction_warning,
)
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_runs import distinct_ids
from pps_torch.io.images import coded_ids
from pps_torch.metrics import (
    BoundaryPanopticQuality,
    ImageRecord,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticQualityResult,
)
from pps_torch.metrics.panoptic_rules import RULES
from pps_torch.metrics.segment_records import image_records
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.pipelines.evaluation_tables import ClassInfo, TableRecords, encoded_tables
from pps_torch.pipelines.further_metrics import FurtherMetrics, show_further
from pps_torch.pipelines.result_layout import results_document
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.results import ResultFiles, WorkerMetrics
from pps_torch.pipelines.runs_together import ImageRuns, WaitingImages, count_images
from pps_torch.reserved import ABSENT

#: The rules that Boundary PQ matches by, each with its width of boundaries.
_BOUNDARY_RULES = {"coco": 0.02, "cityscapes": 0.005}

#: The metrics that take the comparison of PQ.
_BY_COMPARISON = ("mIoU", "PQ-dagger")


def eval_pq(
    gt_json_file: Path | str,
    pred_json_file: Path | str,
    *,
    gt_folder: Path | str | None = None,
    pred_folder: Path | str | None = None,
    save_dir: Path | str | None = None,
    tables: bool = False,
    rules: str = "coco",
    metrics: Sequence[str] = (),
    dilation_ratio: float | None = None,
    reference_layout: bool = False,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> PanopticQualityResult:
    """Evaluate predictions by the rules of [`PanopticQuality`][pps_torch.PanopticQuality].

    Args:
        gt_json_file, pred_json_file: COCO panoptic files; the categories are the ground truth's.
            Either may have an annotation for each segment, with its mask as RLE or polygons, in
            place of PNGs; predictions then also a list of these, as COCO's results are. Segments
            must not overlap.
        gt_folder, pred_folder: folders of their PNGs; default: the file's path without .json.
        save_dir: gets `pq_results.json`, of the layout of all results.
        tables: whether `save_dir` also gets `pq_segments.csv`, `pq_images.csv` and
            `pq_tables.json`, which [`report`][pps_torch.pipelines.report] reads: what became of
            each segment, see [`SegmentRecord`][pps_torch.metrics.SegmentRecord]; `index` is the
            place of the segment in its `segments_info`, from 1 on.
        rules: whose PQ it is, see [`PanopticQuality`][pps_torch.PanopticQuality]; by all but
            `"panopticapi"`, a ground truth whose list and PNG do not agree is an error.
        metrics: what else is counted, of `mIoU`, `PQ-dagger` and `BoundaryPQ`; their tables are
            printed, and their results saved in the same file. Boundary PQ has the rules of COCO
            and Cityscapes alone.
        dilation_ratio: of Boundary PQ, the width of a boundary as a fraction of the image's
            diagonal; default: 0.005 by the rules `"cityscapes"`, else 0.02.
        reference_layout: whether `save_dir` also gets `pq_reference.json`, PQ in the layout of
            panopticapi.

    Raises:
        InputError: names the file and image, what was expected and what was found.
    """
    device = options.torch_device()
    if rules not in RULES:
        expected = ", ".join(RULES)
        raise InputError(f"expected one of {expected}, found {rules!r}", argument="rules")
    ratio = _checked_ratio(dilation_ratio, rules, metrics)
    gt = PanopticFile.load(gt_json_file, gt_folder, allow_masks=True)
    if not gt.categories:
        raise InputError(f"{gt.path}: categories: expected a list of categories, found none")
    if not gt.annotations:
        raise InputError(f"{gt.path}: annotations: expected images, found none")
    pred = PanopticFile.load(pred_json_file, pred_folder, is_prediction=True, allow_masks=True)
    predictions = pred.find_annotations(gt.annotations, gt.path)
    known = {category["id"] for category in gt.categories}
    for annotation in (*gt.annotations.values(), *predictions.values()):
        annotation.check_categories(known, str(gt.path))
    job = _Job(
        gt=gt,
        predictions=predictions,
        metrics=WorkerMetrics(
            lambda: PanopticQuality(gt.categories, rules=rules, validate=True).to(device)
        ),
        further=_further_metrics(metrics, gt.categories, rules, ratio, device),
        needs_maps=device.type != "cpu" or "BoundaryPQ" in metrics,
        allow_misfits=RULES[rules].allows_misfits,
        tables=tables,
        device=device,
    )
    image_ids, records = list(gt.annotations), TableRecords(len(gt.categories))
    inputs = {
        "gt_json_file": gt_json_file,
        "pred_json_file": pred_json_file,
        "gt_folder": None if gt.has_masks else gt_folder or gt.path.with_suffix(""),
        "pred_folder": None if pred.has_masks else pred_folder or pred.path.with_suffix(""),
        "rules": rules,
    }
    classes, processes = ClassInfo.from_categories(gt.categories), options.processes
    processes.check_agreement(
        command="eval_pq",
        images=image_ids,
        categories=gt.categories,
        options=(tables, rules, [*metrics], ratio),
    )
    with ResultFiles.opened(save_dir, "pq", options, [gt.path, pred.path], tables=tables) as files:
        for records_of_image in options.map_images(job.evaluate, image_ids, "evaluating"):
            records.add(records_of_image)
        result = processes.add_up(job.counted()).compute()
        num_empty = sum(not annotation.segments_info for annotation in predictions.values())
        if pred.has_masks and num_empty:
            options.warn(f"{pred.path}: {num_empty} of {len(image_ids)} images have no segment")
        names = {category["id"]: category["name"] for category in gt.categories}
        if warning := contradiction_warning(pred, predictions.values(), names, str(gt.path)):
            options.warn(warning)
        made = None
        if tables:
            made = encoded_tables(
                "pq",
                "PQ",
                inputs,
                classes,
                result,
                image_ids,
                records,
                processes=processes,
            )
        further = job.further.results(options)
        show_further(further, options)
        settings: dict[str, dict[str, Any]] = {
            **dict.fromkeys(("PQ", "PQ-dagger"), {"rules": rules}),
            "BoundaryPQ": {"rules": rules, "dilation_ratio": ratio},
        }
        document = results_document({"PQ": result, **further}, len(image_ids), settings=settings)
        files.save(document, made, result, as_panopticapi(result) if reference_layout else None)
    return result


@dataclass(frozen=True)
class _Job:
    """What the evaluation of an image needs."""

    gt: PanopticFile
    predictions: dict[str, PanopticAnnotation]
    metrics: WorkerMetrics[PanopticQuality]
    further: FurtherMetrics
    needs_maps: bool
    allow_misfits: bool
    tables: bool
    device: torch.device
    waiting: WaitingImages = field(default_factory=WaitingImages)

    def evaluate(self, image_id: str) -> list[ImageRecord]:
        """Count an image and return its records; none unless tables are wanted."""
        if self._counts_together():
            self._count(self.waiting.add(self._read_runs(image_id)))
            return []
        pred, target, lengths = self._read(image_id)
        with input_errors_at(f"image {image_id}"):
            metric = self.metrics.of_this_thread()
            self.further.update({"BoundaryPQ": lambda boundary: boundary.update(pred, target)})
            if not self._compares():
                metric.update(pred, target)
                return []
            if lengths is None:
                comparison = metric.compare(pred, target)
            else:
                comparison = metric.compare_runs(pred, target, lengths)
            metric.add(comparison)
            self.further.update(dict.fromkeys(_BY_COMPARISON, lambda other: other.add(comparison)))
            if not self.tables:
                return []
            return image_records(comparison)

    def counted(self) -> PanopticQuality:
        """The metric of all images, once each of them is evaluated."""
        self._count(self.waiting.take())
        return self.metrics.merged()

    def _count(self, images: list[ImageRuns]) -> None:
        count_images(self.metrics.of_this_thread(), images)

    def _counts_together(self) -> bool:
        """Whether nothing but the sums is wanted of an image."""
        return not (self.needs_maps or self._compares())

    def _compares(self) -> bool:
        """Whether an image is compared once for all, and not counted by `update`, which is less."""
        return self.tables or any(name in self.further for name in _BY_COMPARISON)

    def _read(self, image_id: str) -> tuple[PanopticSegmentation, PanopticTarget, Tensor | None]:
        """Prediction and ground truth of an image: maps, or distinct ids with their pixels."""
        pred, target = self.predictions[image_id], self.gt.annotations[image_id]
        images = self._read_images(image_id)
        if self.needs_maps:
            ids, pixels = [coded_ids(image) for image in images], None
        else:
            combinations, lengths = distinct_ids(*images)
            ids, pixels = [values[None] for values in combinations], torch.from_numpy(lengths[None])
        pred_ids, target_ids = (torch.from_numpy(values).to(self.device) for values in ids)
        with input_errors_at(f"{target.where}: {target.png}"):
            segments = target.target(target_ids, allow_misfits=self.allow_misfits)
        with input_errors_at(f"{pred.where}: {pred.png}"):
            return pred.prediction(pred_ids), segments, pixels

    def _read_runs(self, image_id: str) -> ImageRuns:
        """The segments of an image that share pixels, once each."""
        pred, target = self.predictions[image_id], self.gt.annotations[image_id]
        (pred_ids, target_ids), lengths = distinct_ids(*self._read_images(image_id))
        with input_errors_at(f"{target.where}: {target.png}"):
            allow_misfits = self.allow_misfits
            target_numbers = target.number_runs(target_ids, lengths, allow_misfits=allow_misfits)
        with input_errors_at(f"{pred.where}: {pred.png}"):
            pred_numbers = pred.number_runs(pred_ids, lengths)
        infos = pred.segments_info, target.segments_info
        return ImageRuns(*infos, pred_numbers, target_numbers, lengths)

    def _read_images(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Prediction and ground truth of an image as they are stored, of one size."""
        target = self.gt.annotations[image_id].read_ids(self.gt.sizes.get(image_id))
        return self.predictions[image_id].read_ids(target.shape[:2]), target


def _further_metrics(
    wanted: Sequence[str],
    categories: list[dict[str, Any]],
    rules: str,
    ratio: float,
    device: torch.device,
) -> FurtherMetrics:
    create: dict[str, Callable[[], SumMetric]] = {
        # It reads no maps, so any category id may be 255.
        "mIoU": lambda: MeanIoU(categories, ignore_label=ABSENT, validate=True).to(device),
        "PQ-dagger": lambda: ModifiedPanopticQuality(categories, rules=rules, validate=True).to(
            device
        ),
        "BoundaryPQ": lambda: BoundaryPanopticQuality(
            categories, dilation_ratio=ratio, validate=True
        ).to(device),
    }
    return FurtherMetrics(wanted, create)


def _checked_ratio(ratio: float | None, rules: str, metrics: Sequence[str]) -> float:
    """The dilation ratio of Boundary PQ, if that is wanted."""
    if "BoundaryPQ" not in metrics:
        if ratio is not None:
            found = ", ".join(metrics) or "none"
            raise InputError(
                f"expected it with BoundaryPQ among the metrics, found {found}",
                argument="dilation_ratio",
            )
        return _BOUNDARY_RULES["coco"]
    if rules not in _BOUNDARY_RULES:
        expected = " or ".join(_BOUNDARY_RULES)
        raise InputError(f"expected {expected} for BoundaryPQ, found {rules}", argument="rules")
    if ratio is None:
        return _BOUNDARY_RULES[rules]
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= 1:
        raise InputError(
            f"expected a fraction above 0, at most 1, found {ratio!r}", argument="dilation_ratio"
        )
    return float(ratio)


def as_panopticapi(result: PanopticQualityResult) -> dict[str, Any]:
    """A result in the structure of panopticapi, with its names."""
    content = result.as_dict()
    averages = {
        group: {key.lower(): value for key, value in row.items()}
        for group, row in content["summary"].items()
    }
    per_class = {
        category_id: {key.lower(): row[key] for key in ("PQ", "SQ", "RQ", "iou", "tp", "fp", "fn")}
        for category_id, row in content["per_class"].items()
    }
    return {**averages, "per_class": per_class}
