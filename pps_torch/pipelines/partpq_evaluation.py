"""PartPQ of PPS maps against ground-truth TIFFs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import Image, ImageList
from pps_torch.io.images import read_id_map
from pps_torch.io.pairing import find_files, ground_truth_suffixes, pps_suffixes
from pps_torch.io.pps_files import read_pps_map
from pps_torch.metrics import (
    ImageRecord,
    MeanIoU,
    PartIoU,
    PartPanopticQuality,
    PartPanopticQualityResult,
)
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.results import Result
from pps_torch.metrics.segment_records import image_records
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.pipelines.evaluation_tables import ClassInfo, TableRecords, encoded_tables
from pps_torch.pipelines.further_metrics import FurtherMetrics, show_further
from pps_torch.pipelines.part_maps import distinct_values, needed_capacity, with_capacity
from pps_torch.pipelines.result_layout import panoptic_result, results_document, spec_settings
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.results import ResultFiles, WorkerMetrics
from pps_torch.pipelines.running.spec_files import spec_digest, spec_files
from pps_torch.pipelines.running.unknown_ids import UnknownClasses, UnknownIds, UnknownParts
from pps_torch.reserved import ABSENT
from pps_torch.specs import EvalSpec

_GROUPS = (("", "n"), ("_parts", "n_p"), ("_noparts", "n_np"))


def eval_partpq(
    eval_spec: Path | str,
    gt_dir: Path | str,
    pred_dir: Path | str,
    images_json: Path | str,
    save_dir: Path | str | None = None,
    *,
    tables: bool = False,
    metrics: Sequence[str] = (),
    reference_layout: bool = False,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> PartPanopticQualityResult:
    """Evaluate predictions by the rules of [`PartPanopticQuality`][pps_torch.PartPanopticQuality].

    Args:
        eval_spec: bundled name or path of an EvalSpec.
        gt_dir: folder of the dataset's TIFFs of uids.
        pred_dir: folder of PPS maps, in one of
            [the forms][pps_torch.io.pps_files.read_pps_map]: PNGs; NPZ, if it has no PNG; or TIFFs
            of uids, if it has neither.
        images_json: the list of images.
        save_dir: gets `<spec name>_results.json`, of the layout of all results.
        tables: whether `save_dir` also gets `<spec name>_segments.csv`,
            `<spec name>_images.csv` and `<spec name>_tables.json`, which
            [`report`][pps_torch.pipelines.report] reads: what became of each segment, see
            [`SegmentRecord`][pps_torch.metrics.SegmentRecord], and the counts of PQ of the same
            maps.
        metrics: what else is counted, of `mIoU` and `PartIoU`; their tables are printed, and their
            results saved in the same file.
        reference_layout: whether `save_dir` also gets `<spec name>_reference.json`, PartPQ in the
            layout of panoptic_parts.

    Raises:
        InputError, SpecError: names the file and image, what was expected and what was found.
    """
    spec, images = EvalSpec.load(eval_spec), ImageList.load(images_json)
    if reference_layout:
        _check_names_are_no_ids(spec)
    device, processes = options.torch_device(), options.processes
    gt_files = find_files(gt_dir, images.ids, ground_truth_suffixes(gt_dir), "ground truth")
    pred_files = find_files(pred_dir, images.ids, pps_suffixes(pred_dir), "PPS prediction")
    job = _Job(
        spec=spec,
        gt_files=gt_files,
        pred_files=pred_files,
        metrics=WorkerMetrics(lambda: PartPanopticQuality(spec, validate=True).to(device)),
        whole=WorkerMetrics(lambda: PartPanopticQuality(spec.without_parts()).to(device)),
        further=_further_metrics(metrics, spec, device),
        needs_maps=device.type != "cpu" or "PartIoU" in metrics,
        tables=tables,
        unknown_sids=UnknownClasses("the predicted scene classes", spec),
        unknown_parts=UnknownParts.predicted(spec),
        unknown_gt_parts=UnknownParts.annotated(spec),
        device=device,
    )
    inputs = {
        "eval_spec": eval_spec,
        "gt_dir": gt_dir,
        "pred_dir": pred_dir,
        "images_json": images_json,
    }
    read = [*spec_files(eval_spec), images.path, *gt_files.values(), *pred_files.values()]
    processes.check_agreement(
        command="eval_partpq",
        spec=spec_digest(spec),
        images=images.images,
        options=(tables, [*metrics]),
    )
    with ResultFiles.opened(save_dir, spec.name, options, read, tables=tables) as files:
        records = TableRecords(len(spec.eval_sids))
        has_ids = False
        for evaluated in options.map_images(job.evaluate, images.images, "evaluating"):
            has_ids = has_ids or evaluated.has_ids
            job.add_unknown(evaluated)
            records.add(evaluated.records)
        result = processes.add_up(job.metrics.merged()).compute()
        _warn(result, spec, job.unknown_ids, options)
        has_ids = any(processes.gather(has_ids))
        if job.unknown_sids.unknown_share > 0.5 or not has_ids:
            _warn_of_panoptic_pngs(job.unknown_sids, has_ids, options)
        made: dict[str, bytes] | None = None
        results: dict[str, Result] = {"PartPQ": result}
        if tables:
            whole = processes.add_up(job.whole.merged()).compute()
            results["PQ"] = panoptic_result(whole, spec)
            classes, name = ClassInfo.from_spec(spec), spec.name
            made = encoded_tables(
                name,
                "PartPQ",
                inputs,
                classes,
                result,
                images.ids,
                records,
                whole=whole,
                processes=processes,
            )
        further = job.further.results(options)
        show_further(further, options)
        results.update(further)
        document = results_document(results, len(images), settings=spec_settings(spec, results))
        files.save(document, made, result, as_panoptic_parts(result) if reference_layout else None)
    return result


class _Evaluated(NamedTuple):
    """What the evaluation of an image leaves; no records unless tables are wanted.

    `has_ids` says whether any pixel has an instance or a part.
    """

    unknown_sids: dict[str, Any]
    unknown_parts: dict[str, Any]
    unknown_gt_parts: dict[str, Any]
    has_ids: bool
    records: list[ImageRecord]


@dataclass(frozen=True)
class _Job:
    """What the evaluation of an image needs."""

    spec: EvalSpec
    gt_files: dict[str, Path]
    pred_files: dict[str, Path]
    metrics: WorkerMetrics[PartPanopticQuality]
    whole: WorkerMetrics[PartPanopticQuality]
    further: FurtherMetrics
    needs_maps: bool
    tables: bool
    unknown_sids: UnknownClasses
    unknown_parts: UnknownParts
    unknown_gt_parts: UnknownParts
    device: torch.device

    @property
    def unknown_ids(self) -> tuple[UnknownIds, ...]:
        """What is warned of, in this order."""
        return self.unknown_sids, self.unknown_parts, self.unknown_gt_parts

    def evaluate(self, image: Image) -> _Evaluated:
        """Count an image."""
        gt_file, pred_file = self.gt_files[image.id], self.pred_files[image.id]
        images = read_id_map(gt_file, image.size), read_pps_map(pred_file, image.size)
        uids, pps, lengths = distinct_values(*images)
        with input_errors_at(f"image {image.id} ({gt_file}, {pred_file})"):
            capacity = needed_capacity(uids, pps, self.spec)
            if self.needs_maps:
                records = self._count(capacity, *images)
            else:
                records = self._count(capacity, uids[None], pps[None], lengths)
        return _Evaluated(
            unknown_sids=self.unknown_sids.examine(pps[:, 0], lengths),
            unknown_parts=self.unknown_parts.examine_parts(pps[:, 0], pps[:, 2], lengths),
            unknown_gt_parts=self.unknown_gt_parts.examine_parts(*_parts_of(uids), lengths),
            has_ids=bool(pps[:, 1:].any()),
            records=records,
        )

    def add_unknown(self, evaluated: _Evaluated) -> None:
        """Add the unknown ids of an image to those of the images before."""
        self.unknown_sids.add(evaluated.unknown_sids)
        self.unknown_parts.add(evaluated.unknown_parts)
        self.unknown_gt_parts.add(evaluated.unknown_gt_parts)

    def _count(
        self,
        capacity: int,
        uids: np.ndarray,
        pps: np.ndarray,
        lengths: np.ndarray | None = None,
    ) -> list[ImageRecord]:
        """Count maps `(H, W)` and `(H, W, 3)`, or `(1, V)` and `(1, V, 3)` of so many pixels."""
        channels = np.ascontiguousarray(np.moveaxis(pps, 2, 0))
        pred, target = (torch.from_numpy(ids).to(self.device) for ids in (channels, uids))
        pixels = None if lengths is None else torch.from_numpy(lengths)[None]

        def compare(metric: PartPanopticQuality) -> SegmentComparison:
            metric = with_capacity(metric, capacity)
            if pixels is None:
                return metric.compare(pred, target)
            return metric.compare_runs(pred, target, pixels)

        metric = self.metrics.of_this_thread()
        self.further.update({"PartIoU": lambda part_iou: part_iou.update(pred, target)})
        needs_comparison = self.tables or "mIoU" in self.further or capacity > metric.capacity
        if pixels is None and not needs_comparison:
            metric.update(pred, target)
            return []
        comparison = compare(metric)
        metric.add(comparison)
        self.further.update({"mIoU": lambda mean_iou: mean_iou.add(comparison)})
        if not self.tables:
            return []
        whole = self.whole.of_this_thread()
        whole.add(compare(whole))
        return image_records(comparison)


def _further_metrics(wanted: Sequence[str], spec: EvalSpec, device: torch.device) -> FurtherMetrics:
    create: dict[str, Callable[[], SumMetric]] = {
        "mIoU": lambda: MeanIoU(spec, validate=True).to(device),
        "PartIoU": lambda: PartIoU(spec, validate=True).to(device),
    }
    return FurtherMetrics(wanted, create)


def _parts_of(uids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scene classes and parts, -1 where a uid has no part level."""
    uids = uids.astype(np.int64)  # -1 fits
    has_part = uids > 99_999
    return np.where(has_part, uids // 100_000, ABSENT), np.where(has_part, uids % 100, ABSENT)


def _warn(
    result: PartPanopticQualityResult,
    spec: EvalSpec,
    unknown_ids: Iterable[UnknownIds],
    options: RunOptions,
) -> None:
    """Warn of ids that the data set or the spec does not have; every process has to call it."""
    if result.unknown_gt_pixels:
        options.warn(
            f"{result.unknown_gt_pixels} pixels of the ground truth have a scene class that "
            f"{spec.dataset.name} does not have, and are void; is {spec.name} the right spec?"
        )
    for unknown in unknown_ids:
        unknown.collect(options.processes)
        if warning := unknown.warning():
            options.warn(warning)


def _warn_of_panoptic_pngs(sids: UnknownIds, has_ids: bool, options: RunOptions) -> None:
    """Warn of maps that look like panoptic PNGs, whose colours are segment ids."""
    percent = f"{100 * sids.unknown_share:.1f} %"
    found = f"{percent} of the pixels have a red level that is no scene class"
    if not has_ids:
        found = "no pixel of any map has an instance or a part, its green and blue levels"
    options.warn(
        f"the predictions look like panoptic PNGs, whose colours are segment ids: {found}; "
        "expected PPS PNGs of [scene class, instance, part], which merge_to_pps makes of them"
    )


def _check_names_are_no_ids(spec: EvalSpec) -> None:
    """Raise InputError if a class has another's id for its name: the layout has both as keys."""
    ids = {str(sid): sid for sid in spec.eval_sids}
    for category in spec.categories:
        if ids.get(category["name"], category["id"]) != category["id"]:
            raise InputError(
                f"expected names that are no ids of other classes, found that class "
                f"{category['id']} is called {category['name']!r}",
                argument="reference_layout",
            )


def as_panoptic_parts(result: PartPanopticQualityResult) -> list[Any]:
    """A result in the structure of panoptic_parts: averages, then classes by id and by name."""
    content = result.as_dict()
    summary = content["summary"]
    averages = [
        {
            key: summary[key]
            for key in (*(f"{q}{suffix}" for q in ("PartPQ", "PartSQ", "PartRQ")), n)
        }
        for suffix, n in _GROUPS
    ]
    classes = {}
    for sid, row in content["per_class"].items():
        keys = ("PartPQ", "PartSQ", "PartRQ", "iou", "tp", "fp", "fn")
        classes[sid] = classes[row["name"]] = {key: row[key] for key in keys}
    return [averages, classes]
