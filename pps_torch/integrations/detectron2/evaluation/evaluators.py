"""Evaluators for Detectron2: PQ as `COCOPanopticEvaluator` reports it, and PartPQ.

Both can leave what `eval_pq` and `eval_partpq --tables` leave, and the evaluated maps.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch import Tensor

from pps_torch.formats import PanopticTarget
from pps_torch.integrations.detectron2.evaluation.image_counts import ImageCounts
from pps_torch.integrations.detectron2.evaluation.panoptic_outputs import (
    CategoryIds,
    read_panoptic_output,
)
from pps_torch.integrations.detectron2.evaluation.read_ahead import ReadAhead
from pps_torch.integrations.detectron2.evaluation.recorded_images import (
    RecordedImage,
    RecordedShare,
    check_fits_png,
    without_empty_segments,
)
from pps_torch.integrations.detectron2.evaluation.scores import panoptic_scores, part_scores
from pps_torch.io.atomic import make_folder, write_file
from pps_torch.io.coco_panoptic import PanopticAnnotation, PanopticFile
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import coco_id, normalise_id
from pps_torch.io.images import read_id_map, read_rgb_ids
from pps_torch.io.json_files import save_json
from pps_torch.metrics import PanopticQuality, PartPanopticQuality, record_segments
from pps_torch.metrics.segment_metric import SegmentMetric
from pps_torch.pipelines.evaluation_tables import ClassInfo, TableFiles
from pps_torch.pipelines.partpq_evaluation import as_panoptic_parts
from pps_torch.pipelines.pq_evaluation import as_panopticapi
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.results import ResultFile
from pps_torch.specs import EvalSpec

logger = logging.getLogger(__name__)

_OPTIONS = RunOptions(overwrite=True, quiet=True)  # of the files; Detectron2's replace theirs too


class _ImageByImageEvaluator(DatasetEvaluator):
    """What both evaluators share: images by id, each counted once; one all_reduce at the end."""

    _map_folder: str

    def __init__(
        self,
        dataset_name: str,
        image_ids: Sequence[Any],
        metrics: Sequence[SegmentMetric],
        output_dir: str | None,
        tables: bool,
    ) -> None:
        if tables and output_dir is None:
            raise InputError("tables: expected output_dir, the folder that they go to, found None")
        self._name = dataset_name
        self._has_tables = tables
        self._output_dir = output_dir
        self._maps = Path(output_dir or "", self._map_folder)
        self._metrics = list(metrics)
        self._image_ids = [normalise_id(image_id) for image_id in image_ids]
        self._index = {image_id: index for index, image_id in enumerate(self._image_ids)}
        if len(self._index) != len(self._image_ids):
            raise InputError(f"{dataset_name}: expected each image_id once")
        self._targets = ReadAhead(self._read_target, len(self._image_ids))
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        for metric in self._metrics:
            metric.reset()
        self._counts = ImageCounts(len(self._image_ids), self._metrics)
        self._recorded: dict[int, RecordedImage] = {}
        self._targets.close()

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Counts images; one that this process has counted before is left out.

        Raises:
            InputError: names the image, what was expected and what was found.
        """
        for of_image, output in zip(inputs, outputs):
            with input_errors_at(f"{self._name}: image {of_image.get('image_id')}"):
                index = self._find(of_image.get("image_id"))
                if index not in self._counts:
                    self._update(index, of_image, output)
                    self._counts.take(index)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """The qualities in per cent, the same in every process; each process has to call it.

        Raises:
            InputError: no process had an image, or an image had what the rules do not cover.
        """
        self._targets.close()
        num_seen = self._counts.total()
        if not num_seen:
            raise InputError(f"{self._name}: expected images to evaluate, found none")
        try:
            results, table = self._results()
        except ValueError as error:
            index, of_image = self._counts.first_bad_image() or (None, error)
            where = "" if index is None else f"image {self._image_ids[index]}: "
            raise InputError(f"{self._name}: {where}{of_image}") from error
        if comm.is_main_process():
            logger.info(f"{self._name}: {num_seen} of {len(self._image_ids)} images\n{table}")
        if self._has_tables:
            self._save_tables()
        return results

    def _find(self, image_id: Any) -> int:
        index = self._index.get(normalise_id(image_id))
        if index is None:
            raise ValueError(f"image_id: expected one of the data set, found {image_id!r}")
        return index

    def _move_metrics(self, device: torch.device) -> None:
        for metric in self._metrics:
            if metric.class_sums.device != device:
                metric.to(device)

    def _save(self, file_name: str, content: Any) -> None:
        if self._output_dir is not None and comm.is_main_process():
            make_folder(Path(self._output_dir))
            save_json(Path(self._output_dir) / file_name, content, indent=1)

    def _save_tables(self) -> None:
        """Each process writes the maps of the images that it counted, the first one the rest."""
        here = self._counts.counted_here()
        images = {index: image for index, image in self._recorded.items() if index in here}
        shares = comm.gather(RecordedShare.of_images(images, len(self._metrics[0].class_ids)))
        make_folder(self._maps)
        for index, image in images.items():
            path = self._map_file(index)
            make_folder(path.parent)
            write_file(path, image.png)
        if comm.is_main_process():
            self._write_tables(RecordedShare.added_up(shares))

    def _map_file(self, index: int) -> Path:
        return self._maps / f"{self._image_ids[index]}.png"

    def _ids(self, share: RecordedShare) -> list[str]:
        return [self._image_ids[index] for index in share.segments]

    def _write_tables(self, share: RecordedShare) -> None:
        raise NotImplementedError

    def _read_target(self, index: int) -> Any:
        raise NotImplementedError

    def _update(self, index: int, of_image: dict[str, Any], output: dict[str, Any]) -> None:
        raise NotImplementedError

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        raise NotImplementedError


class PanopticQualityEvaluator(_ImageByImageEvaluator):
    """PQ on the device of the model: put it where `COCOPanopticEvaluator` was.

    Works on any data set registered with `panoptic_json` and `panoptic_root`. The results have
    the keys and values of `COCOPanopticEvaluator`; a group without classes is nan, where that one
    divides by zero. No PNG is written, no folder made, panopticapi is not needed. The ground truth
    is decoded in worker threads, ahead of need.

    An image may be left out: the log says how many of the data set's were evaluated. One that a
    padded sampler repeats counts once, in whichever processes it is repeated.

    Args:
        dataset_name: a registered data set.
        output_dir: gets `panoptic_quality.json`, the result with every class.
        tables: `output_dir` also gets the maps that were evaluated, as `panoptic.json` and
            PNGs in `panoptic`, and the files that `eval_pq --save_dir --tables` writes about
            them; `pps-torch report` makes a page of it. Each process keeps the PNGs of its
            images until then, and each image waits for the device.

    Raises:
        InputError: the data set has no `panoptic_json`, or one that is not as expected; tables
            have no `output_dir`.

    Example:
        .. code-block:: python

            evaluator = PanopticQualityEvaluator("coco_2017_val_panoptic_separated")
            results = inference_on_dataset(model, loader, evaluator)
            results["panoptic_seg"]["PQ"]    # per cent
    """

    _map_folder = "panoptic"

    def __init__(
        self, dataset_name: str, output_dir: str | None = None, *, tables: bool = False
    ) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        _check_has_panoptic_files(dataset_name, metadata)
        self._gt_json = Path(PathManager.get_local_path(metadata.panoptic_json))
        self._gt_folder = Path(PathManager.get_local_path(metadata.panoptic_root))
        panoptic = PanopticFile.load(self._gt_json, self._gt_folder)
        self._annotations: list[PanopticAnnotation] = list(panoptic.annotations.values())
        self._category_ids = CategoryIds.from_metadata(metadata)
        self._metric = PanopticQuality(panoptic.categories)
        image_ids = list(panoptic.annotations)
        super().__init__(dataset_name, image_ids, [self._metric], output_dir, tables)

    def _read_target(self, index: int) -> PanopticTarget:
        """On the CPU, in a worker thread; few bytes a pixel, as they are copied to the device."""
        annotation = self._annotations[index]
        ids = torch.from_numpy(read_rgb_ids(annotation.png))
        with input_errors_at(f"{annotation.where}: {annotation.png}"):
            target = PanopticTarget.from_segments(ids, annotation.segments_info)
        if len(annotation.segments_info) < 256:
            target = target._replace(panoptic_seg=target.panoptic_seg.to(torch.uint8))
        return target

    def _update(self, index: int, of_image: dict[str, Any], output: dict[str, Any]) -> None:
        if "panoptic_seg" not in output:
            raise ValueError(f"outputs: expected panoptic_seg, found {sorted(output)}")
        panoptic_seg, segments_info = output["panoptic_seg"]
        pred = read_panoptic_output(panoptic_seg, segments_info, self._category_ids)
        device = pred.panoptic_seg.device
        self._move_metrics(device)
        target = PanopticTarget(*(field.to(device) for field in self._targets[index]))
        if not self._has_tables:
            self._metric.update(pred, target)
            return
        pred = without_empty_segments(pred)
        (record,) = record_segments(self._metric, pred, target)
        self._recorded[index] = RecordedImage.of_panoptic(record, pred)

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        result = self._metric.compute()
        self._save("panoptic_quality.json", result.as_dict())
        return OrderedDict(panoptic_seg=panoptic_scores(result.summary)), result.table()

    def _map_file(self, index: int) -> Path:
        return self._maps / self._annotations[index].png.relative_to(self._gt_folder)

    def _write_tables(self, share: RecordedShare) -> None:
        annotations = [
            {
                "image_id": coco_id(self._image_ids[index]),
                "file_name": self._map_file(index).relative_to(self._maps).as_posix(),
                "segments_info": infos,
            }
            for index, infos in share.segments_info.items()
        ]
        categories, pred_json = self._metric.categories, self._maps.with_suffix(".json")
        save_json(pred_json, {"annotations": annotations, "categories": categories})
        inputs = {
            "gt_json_file": self._gt_json,
            "pred_json_file": pred_json,
            "gt_folder": self._gt_folder,
            "pred_folder": self._maps,
        }
        folder, result = self._maps.parent, self._metric.compute()
        classes = ClassInfo.from_categories(categories)
        result_file = ResultFile.in_folder(folder, "pq_results.json", _OPTIONS)
        result_file.save(as_panopticapi(result))
        files = TableFiles.in_folder(folder, "pq", _OPTIONS)
        files.save("PQ", inputs, classes, result, self._ids(share), share.table_records())


class PartPanopticEvaluator(_ImageByImageEvaluator):
    """PartPQ, and PQ of the same maps, on the device of the model.

    The model's outputs need `pps` `(3, H, W)`: evaluation sid, instance, part. The ground truth
    is `pps_gt` `(H, W)` of the inputs, or the file `pps_file_name` of the data set, which is
    then decoded in worker threads, ahead of need.

    PQ is that of the scene classes and instances in the maps: parts aside, each map is judged by
    the same rules. Images may be left out or repeated, as in `PanopticQualityEvaluator`.

    Args:
        dataset_name: a registered data set.
        output_dir: gets `part_panoptic_quality.json`, both results with every class.
        eval_spec: a spec, or the name or path of one. Default: the data set's `eval_spec`.
        tables: `output_dir` also gets the maps that were evaluated, as PNGs in `pps`, and the
            files that `eval_partpq --save_dir --tables` writes about them; `pps-torch report`
            makes a page of it, with pictures where the ground truth has files. Each process keeps
            the PNGs of its images until then, and each image waits for the device.

    Raises:
        InputError: tables have no `output_dir`, or image ids are no names of files.

    Example:
        .. code-block:: python

            evaluator = PartPanopticEvaluator("cityscapes_panoptic_parts_val")
            results = inference_on_dataset(model, loader, evaluator)
            results["part_panoptic_seg"]["PartPQ"]    # per cent; also PQ, PQ_th, PartPQ_parts, ...
    """

    _map_folder = "pps"

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        eval_spec: EvalSpec | str | None = None,
        tables: bool = False,
    ) -> None:
        if eval_spec is None:
            eval_spec = MetadataCatalog.get(dataset_name).eval_spec
        spec = eval_spec if isinstance(eval_spec, EvalSpec) else EvalSpec.load(eval_spec)
        images = DatasetCatalog.get(dataset_name)
        self._spec = spec
        self._eval_spec = spec.name if isinstance(eval_spec, EvalSpec) else eval_spec
        self._files = [image.get("pps_file_name") for image in images]
        self._part_metric = PartPanopticQuality(spec)
        self._metric = PartPanopticQuality(spec.without_parts())
        metrics = [self._part_metric, self._metric]
        image_ids = [image["image_id"] for image in images]
        if tables:
            _check_can_name_files(dataset_name, image_ids)
        super().__init__(dataset_name, image_ids, metrics, output_dir, tables)

    def _read_target(self, index: int) -> Tensor:
        return torch.from_numpy(read_id_map(Path(PathManager.get_local_path(self._files[index]))))

    def _update(self, index: int, of_image: dict[str, Any], output: dict[str, Any]) -> None:
        if "pps" not in output:
            raise ValueError(f"outputs: expected pps (3, H, W), found {sorted(output)}")
        pps, uids = output["pps"], of_image.get("pps_gt")
        if uids is None and self._files[index] is None:
            raise ValueError("inputs: expected pps_gt, or pps_file_name in the data set")
        uids = (self._targets[index] if uids is None else uids).to(pps.device)
        self._move_metrics(pps.device)
        if self._has_tables:
            check_fits_png(pps)
        self._metric.update(pps, uids)
        if not self._has_tables:
            self._part_metric.update(pps, uids)
            return
        (record,) = record_segments(self._part_metric, pps, uids)
        self._recorded[index] = RecordedImage.of_pps(record, pps)

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        parts, whole = self._part_metric.compute(), self._metric.compute()
        self._save(
            "part_panoptic_quality.json", {"parts": parts.as_dict(), "whole": whole.as_dict()}
        )
        scores = part_scores(parts, whole, self._spec)
        pq = ", ".join(f"{key} {scores[key]:.1f}" for key in ("PQ", "PQ_th", "PQ_st"))
        return OrderedDict(part_panoptic_seg=scores), f"{parts.table()}\n\n{pq}"

    def _gt_folder(self) -> Path | None:
        """The folder of all ground truth; None where images have no file, or lie everywhere."""
        if None in self._files:
            return None
        files = [Path(PathManager.get_local_path(file)).absolute() for file in self._files]
        folder = Path(os.path.commonpath([file.parent for file in files]))
        return None if folder == Path(folder.anchor) else folder

    def _write_tables(self, share: RecordedShare) -> None:
        inputs = {"eval_spec": self._eval_spec, "gt_dir": self._gt_folder(), "pred_dir": self._maps}
        folder, spec, whole = self._maps.parent, self._spec, self._metric.compute()
        result, classes = self._part_metric.compute(), ClassInfo.from_spec(spec)
        result_file = ResultFile.in_folder(folder, f"{spec.name}_results.json", _OPTIONS)
        result_file.save(as_panoptic_parts(result))
        files = TableFiles.in_folder(folder, spec.name, _OPTIONS)
        files.save(
            "PartPQ", inputs, classes, result, self._ids(share), share.table_records(), whole
        )


def _check_has_panoptic_files(dataset_name: str, metadata: Metadata) -> None:
    missing = [key for key in ("panoptic_json", "panoptic_root") if metadata.get(key) is None]
    if missing:
        is_known = dataset_name in DatasetCatalog.list()
        found = f"without {' and '.join(missing)}" if is_known else "which is not registered"
        raise InputError(
            "dataset_name: expected one registered with panoptic_json and panoptic_root, found "
            f"{dataset_name!r}, {found}; data sets with parts: PartPanopticEvaluator"
        )


def _check_can_name_files(dataset_name: str, image_ids: Sequence[Any]) -> None:
    for image_id in map(str, image_ids):
        if image_id in (".", "..") or Path(image_id).name != image_id:
            raise InputError(
                f"{dataset_name}: image_id: tables need names of files, found {image_id!r}"
            )
