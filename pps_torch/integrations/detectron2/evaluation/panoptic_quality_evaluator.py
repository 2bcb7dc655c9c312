"""PQ for Detectron2, with the results of its `COCOPanopticEvaluator`."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.utils.file_io import PathManager

from pps_torch.formats import PanopticTarget
from pps_torch.integrations.detectron2.evaluation.image_by_image import (
    FILE_OPTIONS,
    ImageByImageEvaluator,
)
from pps_torch.integrations.detectron2.evaluation.panoptic_outputs import (
    CategoryIds,
    read_panoptic_output,
)
from pps_torch.integrations.detectron2.evaluation.recorded_images import (
    RecordedImage,
    RecordedShare,
    without_empty_segments,
)
from pps_torch.integrations.panoptic_scores import panoptic_scores
from pps_torch.io.coco_panoptic import PanopticAnnotation, PanopticFile
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import coco_id
from pps_torch.io.images import read_rgb_ids
from pps_torch.io.json_files import save_json
from pps_torch.metrics import PanopticQuality
from pps_torch.pipelines.evaluation_tables import ClassInfo, encoded_tables
from pps_torch.pipelines.running.results import ResultFiles

_SETTINGS = {"PQ": {"rules": "coco"}}


class PanopticQualityEvaluator(ImageByImageEvaluator):
    """PQ on the device of the model, in place of Detectron2's `COCOPanopticEvaluator`.

    It takes any data set that is registered with `panoptic_json` and `panoptic_root`. The results
    have the keys and values of `COCOPanopticEvaluator`; a group without classes is nan, where that
    one divides by zero. Without `output_dir` no file is written, and panopticapi is not needed.
    Worker threads decode the ground truth ahead of need.

    Images may be left out: the log says how many of the data set's images were evaluated. An image
    that a padded sampler repeats counts once, in whichever processes it is repeated.

    Args:
        dataset_name: a registered data set.
        output_dir: folder of `panoptic_quality.json`, the result with every class.
        tables: whether `output_dir` also gets the evaluated maps (`panoptic.json`, and PNGs in
            `panoptic`) and the files that `eval_pq --save_dir --tables` writes about them.
            `pps-torch report` makes a page of it. Each image then waits for the device, and each
            process holds the PNGs of its images until the end.
        task: the key of the results. Another one lets this evaluator stand beside
            `COCOPanopticEvaluator` in one `DatasetEvaluators`, which refuses equal keys.

    Raises:
        InputError: the data set has no `panoptic_json`, or one that cannot be used; or tables have
            no `output_dir`.

    Example:
        ```python
        evaluator = PanopticQualityEvaluator("coco_2017_val_panoptic_separated")
        results = inference_on_dataset(model, loader, evaluator)
        results["panoptic_seg"]["PQ"]  # per cent
        ```
    """

    _map_folder = "panoptic"
    _result_name = "pq"

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        tables: bool = False,
        task: str = "panoptic_seg",
    ) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        _check_has_panoptic_files(dataset_name, metadata)
        self._gt_json = Path(PathManager.get_local_path(metadata.panoptic_json))
        self._gt_folder = Path(PathManager.get_local_path(metadata.panoptic_root))
        panoptic = PanopticFile.load(self._gt_json, self._gt_folder)
        self._annotations: list[PanopticAnnotation] = list(panoptic.annotations.values())
        self._category_ids = CategoryIds.from_metadata(metadata)
        self._metric = PanopticQuality(panoptic.categories)
        self._task = task
        image_ids = list(panoptic.annotations)
        super().__init__(dataset_name, image_ids, [self._metric], output_dir, tables)

    def _read_target(self, index: int) -> PanopticTarget:
        """Read the ground truth of an image, with few bytes a pixel to be copied to the device."""
        annotation = self._annotations[index]
        ids = torch.from_numpy(read_rgb_ids(annotation.png))
        with input_errors_at(f"{annotation.where}: {annotation.png}"):
            target = PanopticTarget.from_segments(ids, annotation.segments_info)
        if len(annotation.segments_info) < 256:
            target = target._replace(panoptic_seg=target.panoptic_seg.to(torch.uint8))
        return target

    def _update(self, index: int, image: dict[str, Any], output: dict[str, Any]) -> None:
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
        (record,) = self._metric.record_segments(pred, target)
        self._recorded[index] = RecordedImage.from_panoptic(record, pred)

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        result = self._metric.compute()
        self._save("panoptic_quality.json", self._document({"PQ": result}, _SETTINGS))
        return OrderedDict({self._task: panoptic_scores(result.summary)}), result.table()

    def _outdated_files(self) -> list[Path]:
        return [*super()._outdated_files(), self._maps.with_suffix(".json")]

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
        inputs: dict[str, Path | str | None] = {
            "gt_json_file": self._gt_json,
            "pred_json_file": pred_json,
            "gt_folder": self._gt_folder,
            "pred_folder": self._maps,
            "rules": "coco",
        }
        folder, result = self._maps.parent, self._metric.compute()
        classes = ClassInfo.from_categories(categories)
        ids, records = self._ids(share), share.table_records()
        tables = encoded_tables(self._result_name, "PQ", inputs, classes, result, ids, records)
        with ResultFiles.opened(folder, self._result_name, FILE_OPTIONS) as files:
            files.save(self._document({"PQ": result}, _SETTINGS), tables, result)


def _check_has_panoptic_files(dataset_name: str, metadata: Metadata) -> None:
    missing = [key for key in ("panoptic_json", "panoptic_root") if metadata.get(key) is None]
    if missing:
        is_known = dataset_name in DatasetCatalog.list()
        found = f"without {' and '.join(missing)}" if is_known else "which is not registered"
        raise InputError(
            "dataset_name: expected one registered with panoptic_json and panoptic_root, found "
            f"{dataset_name!r}, {found}; data sets with parts: PartPanopticEvaluator"
        )
