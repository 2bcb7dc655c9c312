"""mmdetection: PQ as a metric in its registry, in place of `CocoPanopticMetric`.

Importing this module registers `PPSPanopticMetric`; a configuration does so with
`custom_imports = dict(imports=["pps_torch.integrations.mmdetection_metric"])`.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pps_torch.integrations.libraries import importing

with importing("mmdet", "pps_torch.integrations.mmdetection_metric"):
    from mmdet.registry import METRICS
    from mmengine.evaluator import BaseMetric
    from mmengine.fileio import get_local_path
    from mmengine.logging import print_log

from pps_torch.formats import PanopticTarget
from pps_torch.integrations.mmdetection import from_mmdetection
from pps_torch.integrations.panoptic_scores import panoptic_scores
from pps_torch.io.coco_panoptic import PanopticAnnotation, PanopticFile
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import normalise_id
from pps_torch.io.images import read_rgb_ids
from pps_torch.merging.category_ids import with_category_ids
from pps_torch.metrics import PanopticQuality


@METRICS.register_module()
class PPSPanopticMetric(BaseMetric):
    """PQ by panopticapi's rules, counted on the device of the predictions; no file is written.

    It takes the place of `CocoPanopticMetric` in a configuration, with the names of its results:
    `coco_panoptic/PQ`, `SQ`, `RQ`, `PQ_th`, ..., in per cent. A group without any segment is nan,
    where that one has 0. panopticapi is not needed. The table of all classes is logged.

    Args:
        ann_file: the COCO panoptic JSON. None: the ground truth's segments come with the samples,
            and the categories are the data set's class indices.
        seg_prefix: the folder of the ground truth's PNGs. They have the names in the JSON or,
            without one, those of the photos.
        classwise, nproc: taken as configurations have them; all classes are always shown, and the
            counting needs no processes.
        backend_args, collect_device, prefix: as in `CocoPanopticMetric`.

    Raises:
        InputError: the JSON cannot be used, or lacks a class of the data set.

    Example:
        ```python
        custom_imports = dict(imports=["pps_torch.integrations.mmdetection_metric"])
        val_evaluator = dict(
            type="PPSPanopticMetric",
            ann_file="data/coco/annotations/panoptic_val2017.json",
            seg_prefix="data/coco/annotations/panoptic_val2017/",
        )
        ```
    """

    default_prefix = "coco_panoptic"

    def __init__(
        self,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        classwise: bool = False,
        nproc: int = 32,
        backend_args: dict[str, Any] | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if seg_prefix is None:
            raise InputError(
                "expected the folder of the ground truth's PNGs, found None", argument="seg_prefix"
            )
        self.seg_prefix = seg_prefix
        self.backend_args = backend_args
        self._file: PanopticFile | None = None
        if ann_file is not None:
            with get_local_path(ann_file, backend_args=backend_args) as path:
                self._file = PanopticFile.load(path, seg_prefix)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count a batch; each image leaves its counts, so that a repeated one can be dropped."""
        metric = PanopticQuality(self._categories())
        for sample in data_samples:
            with input_errors_at(f"image {sample['img_id']}"):
                self._count(metric, sample)
            state = {name: counts.clone() for name, counts in metric.state_dict().items()}
            self.results.append(state)
            metric.reset()

    def compute_metrics(self, results: list[dict[str, Tensor]]) -> dict[str, float]:
        """Add up the counts of all images, and compute the qualities in per cent."""
        metric = PanopticQuality(self._categories())
        total = {
            name: sum((counts[name].cpu() for counts in results), none)
            for name, none in metric.state_dict().items()
        }
        metric.load_state_dict(total)
        result = metric.compute()
        print_log(f"Panoptic Evaluation Results:\n{result.table()}", logger="current")
        return panoptic_scores(result.summary)

    def _categories(self) -> list[dict[str, Any]]:
        """The categories of the file or, without one, the class indices."""
        if self._file is not None:
            return self._file.categories
        return [
            {"id": index, "name": name, "isthing": int(name in self.dataset_meta["thing_classes"])}
            for index, name in enumerate(self.dataset_meta["classes"])
        ]

    def _count(self, metric: PanopticQuality, sample: Mapping[str, Any]) -> None:
        """Count an image."""
        found = sample["pred_panoptic_seg"]
        labels, classes = found["sem_seg"], self.dataset_meta["classes"]
        num_things = len(self.dataset_meta["thing_classes"])
        pred = from_mmdetection(
            labels,
            num_things=num_things,
            num_classes=len(classes),
            ignore_index=found.get("ignore_index", len(classes)),
        )
        if self._file is not None:
            ids = torch.tensor(self._ids_of_classes(), device=labels.device)
            pred = with_category_ids(pred, ids)
        target = PanopticTarget(*(field.to(labels.device) for field in self._target(sample)))
        metric.to(labels.device).update(pred, target)

    def _ids_of_classes(self) -> list[int]:
        """The category id of each class index, by its name."""
        assert self._file is not None
        ids = {category["name"]: category["id"] for category in self._file.categories}
        missing = [name for name in self.dataset_meta["classes"] if name not in ids]
        if missing:
            raise InputError(f"{self._file.path}: categories: expected {missing}, found {[*ids]}")
        return [ids[name] for name in self.dataset_meta["classes"]]

    def _target(self, sample: Mapping[str, Any]) -> PanopticTarget:
        """Read the ground truth of an image."""
        if self._file is not None:
            annotation = self._annotation(normalise_id(sample["img_id"]))
            return annotation.target(self._read_ids(annotation.png))
        name = os.path.basename(sample["img_path"]).replace(".jpg", ".png")
        things = {info["id"]: bool(info["isthing"]) for info in self._categories()}
        infos = [
            {
                "id": info["id"],
                "category_id": info["category"],
                "iscrowd": int(things[info["category"]] and not info["is_thing"]),
            }
            for info in sample["segments_info"]
        ]
        return PanopticTarget.from_segments(
            self._read_ids(os.path.join(self.seg_prefix, name)), infos
        )

    def _read_ids(self, png: Path | str) -> Tensor:
        with get_local_path(png, backend_args=self.backend_args) as path:
            return torch.from_numpy(read_rgb_ids(Path(path)))

    def _annotation(self, image_id: str) -> PanopticAnnotation:
        assert self._file is not None
        if image_id not in self._file.annotations:
            raise InputError(f"{self._file.path}: expected an annotation of image {image_id}")
        return self._file.annotations[image_id]
