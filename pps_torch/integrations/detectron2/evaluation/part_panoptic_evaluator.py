"""PartPQ for Detectron2, and PQ of the same PPS maps."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager
from torch import Tensor

from pps_torch.integrations.detectron2.evaluation.image_by_image import (
    FILE_OPTIONS,
    ImageByImageEvaluator,
)
from pps_torch.integrations.detectron2.evaluation.part_scores import part_scores
from pps_torch.integrations.detectron2.evaluation.recorded_images import (
    RecordedImage,
    RecordedShare,
    check_fits_png,
)
from pps_torch.integrations.detectron2.evaluation.unknown_parts import UnknownPartsByImage
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_id_map
from pps_torch.metrics import PartPanopticQuality, PartPanopticQualityResult
from pps_torch.pipelines.evaluation_tables import ClassInfo, encoded_tables
from pps_torch.pipelines.result_layout import panoptic_result, spec_settings
from pps_torch.pipelines.running.results import ResultFiles
from pps_torch.specs import EvalSpec

logger = logging.getLogger(__name__)

_HOW_TO_REGISTER = (
    "MetadataCatalog.get(name).set(eval_spec=...) names the spec, and pps_file_name in the dict of "
    "each image its TIFF of uids"
)


class PartPanopticEvaluator(ImageByImageEvaluator):
    """PartPQ, and PQ of the same maps, on the device of the model.

    The model's output needs `pps` `(3, H, W)`: evaluation sid, instance, part; a list of these
    three maps, as TAPPS has it, is taken too. The ground truth is `pps_gt` `(H, W)` uids of the
    input or, without it, the file `pps_file_name` in the data set's dict of the image; worker
    threads decode these files ahead of need.

    PQ is that of the scene classes and instances in the maps: parts aside, each map is judged by
    the same rules. Images may be left out or repeated, as with `PanopticQualityEvaluator`.

    Args:
        dataset_name: a registered data set.
        output_dir: folder of `part_panoptic_quality.json`, both results with every class.
        eval_spec: a spec, or the name or path of one. Default: the data set's `eval_spec`.
        capacity: highest instance id, and the most segments of an image in either map; beyond it,
            `evaluate` raises. See [`PartPanopticQuality`][pps_torch.PartPanopticQuality].
        tables: whether `output_dir` also gets the evaluated maps (PNGs in `pps`) and the files that
            `eval_partpq --save_dir --tables` writes about them. `pps-torch report` makes a page of
            it, with pictures if the ground truth is in files. Each image then waits for the device,
            and each process holds the PNGs of its images until the end.

    Raises:
        InputError: the data set is not registered or names no spec, tables have no `output_dir`, or
            an image id cannot be the name of a file.
        TypeError, ValueError: for a capacity that `PartPanopticQuality` refuses.

    Example:
        ```python
        evaluator = PartPanopticEvaluator("cityscapes_panoptic_parts_val")
        results = inference_on_dataset(model, loader, evaluator)
        results["part_panoptic_seg"]["PartPQ"]  # per cent; also PQ, PQ_th, PartPQ_parts, ...
        ```
    """

    _map_folder = "pps"

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        eval_spec: EvalSpec | str | None = None,
        capacity: int = 1024,
        tables: bool = False,
    ) -> None:
        if eval_spec is None:
            eval_spec = _registered_spec(dataset_name)
        spec = eval_spec if isinstance(eval_spec, EvalSpec) else EvalSpec.load(eval_spec)
        images = DatasetCatalog.get(dataset_name)
        self._spec = spec
        self._result_name = spec.name
        self._eval_spec = spec.name if isinstance(eval_spec, EvalSpec) else eval_spec
        self._files = [image.get("pps_file_name") for image in images]
        self._part_metric, self._whole_metric = (
            PartPanopticQuality(each, capacity=capacity) for each in (spec, spec.without_parts())
        )
        self._unknown_parts = UnknownPartsByImage(spec)
        metrics = [self._part_metric, self._whole_metric]
        image_ids = [image["image_id"] for image in images]
        if tables:
            _check_can_name_files(dataset_name, image_ids)
        super().__init__(dataset_name, image_ids, metrics, output_dir, tables)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._unknown_parts.reset()

    def _read_target(self, index: int) -> Tensor:
        return torch.from_numpy(read_id_map(Path(PathManager.get_local_path(self._files[index]))))

    def _update(self, index: int, image: dict[str, Any], output: dict[str, Any]) -> None:
        if "pps" not in output:
            raise ValueError(f"outputs: expected pps (3, H, W), found {sorted(output)}")
        pps, uids = _stacked(output["pps"]), image.get("pps_gt")
        if uids is None and self._files[index] is None:
            raise ValueError("inputs: expected pps_gt, or pps_file_name in the data set")
        uids = (self._targets[index] if uids is None else uids).to(pps.device)
        self._move_metrics(pps.device)
        self._unknown_parts.examine(index, pps, uids)
        if self._has_tables:
            check_fits_png(pps)
        self._whole_metric.update(pps, uids)
        if not self._has_tables:
            self._part_metric.update(pps, uids)
            return
        (record,) = self._part_metric.record_segments(pps, uids)
        self._recorded[index] = RecordedImage.from_pps(record, pps)

    def _results(self) -> tuple[OrderedDict[str, dict[str, float]], str]:
        parts, whole = self._part_metric.compute(), self._whole_metric.compute()
        self._save("part_panoptic_quality.json", self._part_document(parts, whole))
        for warning in self._unknown_parts.warnings(self._counts.counted_here()):
            logger.warning(f"{self._name}: {warning}")
        scores = part_scores(parts, whole, self._spec)
        pq = ", ".join(f"{key} {scores[key]:.1f}" for key in ("PQ", "PQ_th", "PQ_st"))
        return OrderedDict(part_panoptic_seg=scores), f"{parts.table()}\n\n{pq}"

    def _gt_folder(self) -> Path | None:
        """The folder of all ground truth; None if an image has no file or they share no folder."""
        if None in self._files:
            return None
        files = [Path(PathManager.get_local_path(file)).absolute() for file in self._files]
        folder = Path(os.path.commonpath([file.parent for file in files]))
        return None if folder == Path(folder.anchor) else folder

    def _write_tables(self, share: RecordedShare) -> None:
        inputs = {"eval_spec": self._eval_spec, "gt_dir": self._gt_folder(), "pred_dir": self._maps}
        folder, spec, whole = self._maps.parent, self._spec, self._whole_metric.compute()
        result, classes = self._part_metric.compute(), ClassInfo.from_spec(spec)
        ids, records = self._ids(share), share.table_records()
        tables = encoded_tables(spec.name, "PartPQ", inputs, classes, result, ids, records, whole)
        with ResultFiles.opened(folder, self._result_name, FILE_OPTIONS) as files:
            files.save(self._part_document(result, whole), tables, result)

    def _part_document(
        self, parts: PartPanopticQualityResult, whole: PartPanopticQualityResult
    ) -> dict[str, Any]:
        results = {"PartPQ": parts, "PQ": panoptic_result(whole, self._spec)}
        return self._document(results, spec_settings(self._spec, results))


def _stacked(pps: Any) -> Tensor:
    """A PPS map, which may be a list of its three maps `(H, W)`."""
    if isinstance(pps, Tensor):
        return pps
    shapes = [tuple(getattr(channel, "shape", ())) for channel in pps]
    if len(shapes) != 3 or len(shapes[0]) != 2 or len(set(shapes)) > 1:
        raise ValueError(
            "outputs: pps: expected (3, H, W), or a list of three maps (H, W) of one size, found "
            f"a {type(pps).__name__} of shapes {shapes}"
        )
    return torch.stack(tuple(pps))


def _registered_spec(dataset_name: str) -> Any:
    """The `eval_spec` in the metadata of a data set."""
    if dataset_name not in DatasetCatalog.list():
        raise InputError(f"dataset_name: {dataset_name!r} is not registered; {_HOW_TO_REGISTER}")
    eval_spec = MetadataCatalog.get(dataset_name).get("eval_spec")
    if eval_spec is None:
        raise InputError(
            f"eval_spec: expected the name or path of a spec, here or in the metadata of "
            f"{dataset_name!r}, found none; {_HOW_TO_REGISTER}"
        )
    return eval_spec


def _check_can_name_files(dataset_name: str, image_ids: Sequence[Any]) -> None:
    for image_id in map(str, image_ids):
        if image_id in (".", "..") or Path(image_id).name != image_id:
            raise InputError(
                f"{dataset_name}: image_id: tables need names of files, found {image_id!r}"
            )
