"""What users call otherwise: Detectron2, Mask2Former, torchmetrics, run as their users have them.

Nothing of theirs is part of this project. A peer is imported when it is asked for, from a folder
or from what is installed; one that cannot be imported raises NotRun with the reason.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.table import NotRun
from pps_torch import EvalSpec

Segments = tuple[Tensor, list[dict]]  # a map (H, W) of segment ids, and a dict for each segment

PANOPTIC_FPN = "configs/COCO-PanopticSegmentation/panoptic_fpn_R_50_3x.yaml"


def import_from(folder: Path | None, module: str) -> ModuleType:
    """Import a peer's module, with its folder first on the path."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever a peer's import raises, it cannot run here
        raise NotRun(f"{module} cannot be imported: {error}") from error


class Detectron2:
    """Detectron2's steps from the heads of Panoptic FPN to its panoptic map, for one image."""

    name = "Detectron2"

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        mask_ops = import_from(folder, "detectron2.layers.mask_ops")
        panoptic_fpn = import_from(folder, "detectron2.modeling.meta_arch.panoptic_fpn")
        self._paste = mask_ops.paste_masks_in_image
        self._combine = panoptic_fpn.combine_semantic_and_instance_outputs
        self._sem_seg = import_from(
            folder, "detectron2.modeling.postprocessing"
        ).sem_seg_postprocess
        self._instances = import_from(folder, "detectron2.structures").Instances

    def combine(
        self, sem_seg: Tensor, masks: Tensor, scores: Tensor, classes: Tensor, area_limit: int
    ) -> Segments:
        """Its heuristic merge; semantic label 0 is "things"."""
        found = self._instances(tuple(sem_seg.shape))
        found.pred_masks, found.scores, found.pred_classes = masks, scores, classes
        return self._combine(found, sem_seg, 0.5, area_limit, 0.5)

    def paste(self, mask_probs: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks in the frames of boxes -> `(N, H, W)` bool."""
        return self._paste(mask_probs, boxes, size, threshold=0.5)

    def best_channel(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits `(C, h, w)` of the whole image -> `(H, W)` index of the highest channel."""
        return self._sem_seg(logits, tuple(logits.shape[-2:]), *size).argmax(dim=0)

    def panoptic_fpn(self, device: torch.device) -> nn.Module:
        """Panoptic FPN R50 with random weights, which keeps 100 detections whatever their score."""
        if self.folder is None or not (self.folder / PANOPTIC_FPN).is_file():
            raise NotRun(f"--detectron2_dir has no {PANOPTIC_FPN}")
        config = import_from(self.folder, "detectron2.config").get_cfg()
        config.merge_from_file(str(self.folder / PANOPTIC_FPN))
        config.MODEL.DEVICE = str(device)
        config.MODEL.WEIGHTS = ""
        config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
        build_model = import_from(self.folder, "detectron2.modeling").build_model
        torch.manual_seed(0)
        return build_model(config).eval()


class Mask2Former:
    """Mask2Former's panoptic inference for one image."""

    name = "Mask2Former"

    def __init__(self, folder: Path | None, detectron2_dir: Path | None) -> None:
        if folder is None:
            raise NotRun("--mask2former_dir is not given")
        import_from(detectron2_dir, "detectron2.projects.point_rend")
        # Its packages import compiled operations of the network, which the inference does not
        # need: modules are taken from its folders without running the packages' __init__.
        for name in ("mask2former", "mask2former.modeling", "mask2former.utils"):
            package = ModuleType(name)
            package.__path__ = [str(folder / name.replace(".", "/"))]
            sys.modules.setdefault(name, package)
        self._model = import_from(None, "mask2former.maskformer_model").MaskFormer

    def panoptic(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        size: tuple[int, int],
        thing_classes: list[int],
    ) -> Segments:
        """Its upsampling of the logits `(Q, h, w)` and `panoptic_inference`."""
        settings = SimpleNamespace(
            sem_seg_head=SimpleNamespace(num_classes=class_logits.shape[-1] - 1),
            object_mask_threshold=0.8,
            overlap_threshold=0.8,
            metadata=SimpleNamespace(
                thing_dataset_id_to_contiguous_id=dict(enumerate(thing_classes))
            ),
        )
        upsampled = F.interpolate(
            mask_logits[None], size=size, mode="bilinear", align_corners=False
        )
        return self._model.panoptic_inference(settings, class_logits, upsampled[0])


class TorchMetrics:
    """torchmetrics' PanopticQuality for the classes of a spec."""

    name = "torchmetrics"

    def __init__(self, spec: EvalSpec, device: torch.device) -> None:
        detection = import_from(None, "torchmetrics.detection")
        self.spec = spec
        self.metric = detection.PanopticQuality(set(spec.things), set(spec.stuff)).to(device)

    def per_class(self) -> dict[int, dict]:
        """iou, tp, fp and fn of each class; its order is sorted things, then sorted stuff."""
        metric = self.metric
        states = (metric.iou_sum, metric.true_positives, metric.false_positives)
        columns = [state.tolist() for state in (*states, metric.false_negatives)]
        sids = (*sorted(self.spec.things), *sorted(self.spec.stuff))
        names = ("iou", "tp", "fp", "fn")
        return {sid: dict(zip(names, values)) for sid, *values in zip(sids, *columns)}


class PPSBySegment:
    """panoptic_parts' merge_to_pps in torch: a few masks of the whole image for each segment."""

    def __init__(self, spec: EvalSpec, device: torch.device) -> None:
        self.spec = spec
        self._pids: dict[int, Tensor] = {}
        self._flat_ids: dict[int, Tensor] = {}
        for sid in spec.parts:
            flat_ids = [spec.eval_sid_pid_to_flat[sid, pid] for pid in spec.part_pids[sid]]
            pids = torch.full((spec.highest_flat_pid + 1,), spec.ignore_label, dtype=torch.int32)
            pids[flat_ids] = torch.tensor(spec.part_pids[sid], dtype=torch.int32)
            self._pids[sid] = pids.to(device)
            self._flat_ids[sid] = torch.tensor(flat_ids, device=device)

    def __call__(self, panoptic: Segments, part_seg: Tensor) -> Tensor:
        """`(3, H, W)` int32: scene class, instance, part."""
        ids, segments_info = panoptic
        classes = torch.full_like(ids, self.spec.ignore_label)
        instances, parts = torch.zeros_like(ids), torch.zeros_like(ids)
        numbers: Counter[int] = Counter()
        for segment in segments_info:
            sid = segment["category_id"]
            numbers[sid] += 1
            mask = ids == segment["id"]
            if sid in self._pids:
                possible = mask & torch.isin(part_seg, self._flat_ids[sid])
                parts[mask] = self.spec.ignore_label
                parts[possible] = self._pids[sid][part_seg[possible]]
            else:
                parts[mask] = 1
            classes[mask] = sid
            instances[mask] = numbers[sid]
        return torch.stack([classes, instances, parts])
