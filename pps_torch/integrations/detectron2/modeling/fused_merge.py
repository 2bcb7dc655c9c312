"""The merge of detections and semantic logits into Detectron2's outputs, without pasted masks."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances, ROIMasks
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.integrations.detectron2.class_ids import THINGS_LABEL
from pps_torch.integrations.detectron2.modeling.contiguous_pps_merger import ContiguousPPSMerger
from pps_torch.integrations.detectron2.modeling.segments_info import detectron2_segments_info
from pps_torch.merging import merge_panoptic_boxes
from pps_torch.specs import EvalSpec

_BOX_MASKS = "box_masks"  # a field of Instances that detector_postprocess filters and keeps


class FusedMerge(TensorHolder):
    """Merge the raw heads of one image into Detectron2's outputs, and a PPS map if asked for.

    The merge is [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes], on masks in their boxes'
    frames. The outputs equal those of Detectron2's `detector_postprocess` and
    `combine_semantic_and_instance_outputs`, bit by bit, with three exceptions:

    - Segments without any pixel, which Detectron2 can list if the overlap threshold is 1 or the
      stuff area limit 0, are not listed.
    - Detections of equal scores are merged in their order. Detectron2 sorts them with an `argsort`
      that is not stable, so that its order may differ, and from device to device.
    - Masks in half precision are merged as Detectron2 merges the same numbers in float32. It
      samples them at coordinates rounded to half precision, which moves their borders.

    Args:
        spec: with a spec, the outputs also hold a PPS map. The class indices of the detections
            then mean `spec.things`, and the semantic labels "things" (0) and `spec.stuff`.
        overlap_threshold, stuff_area_limit, score_threshold: as in
            [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes].
        label_of_channel: semantic label of each semantic channel. Default: its index.
        paste_masks: True: `instances.pred_masks` is `(N, H, W)` bool, as in Detectron2. False: it
            is a `ROIMasks` of `(N, M, M)`.

    Example:
        >>> import torch
        >>> from detectron2.structures import Boxes, Instances
        >>> detections = Instances((8, 8), pred_boxes=Boxes(torch.tensor([[0.0, 0, 4, 4]])),
        ...                        scores=torch.tensor([0.9]), pred_classes=torch.tensor([2]),
        ...                        pred_masks=torch.ones(1, 1, 28, 28))
        >>> outputs = FusedMerge()(detections, torch.zeros(12, 8, 8))
        >>> outputs["panoptic_seg"][1]    # doctest: +ELLIPSIS
        [{'id': 1, 'isthing': True, 'score': 0.89..., 'category_id': 2, 'instance_id': 0}]
    """

    label_of_channel: Tensor | None

    def __init__(
        self,
        spec: EvalSpec | None = None,
        *,
        overlap_threshold: float = 0.5,
        stuff_area_limit: float = 4096,
        score_threshold: float = 0.5,
        label_of_channel: tuple[int, ...] | None = None,
        paste_masks: bool = True,
    ) -> None:
        super().__init__()
        self.overlap_threshold = overlap_threshold
        self.stuff_area_limit = stuff_area_limit
        self.score_threshold = score_threshold
        self.paste_masks = paste_masks
        self.spec = spec
        self.merge_pps = None if spec is None else ContiguousPPSMerger(spec)
        self.label_of_channel = None
        if label_of_channel is not None:
            self._hold_tables(label_of_channel=torch.tensor(label_of_channel, device="cpu"))

    def forward(
        self, detections: Instances, sem_seg: Tensor, part_seg: Tensor | None = None
    ) -> dict[str, Any]:
        """Merge one image.

        Args:
            detections: raw, at the network's input size: `pred_boxes`, `scores`,
                `pred_classes` and `pred_masks` `(N, 1, M, M)`. The boxes are scaled in
                place, as by `detector_postprocess`.
            sem_seg: `(C, H, W)` logits at the output size.
            part_seg: `(H, W)` flat part ids. Default: 0 everywhere, so that the parts of classes
                with parts are unknown in the PPS map.

        Returns:
            `sem_seg`, `instances` and `panoptic_seg` as from Detectron2's PanopticFPN; with a spec
            also `pps` `(3, H, W)` int32.

        Raises:
            ValueError: the detections have no masks, or the logits have another number of channels
                than there are semantic labels.
        """
        self._check_channels(len(sem_seg))
        height, width = sem_seg.shape[-2:]
        instances, box_masks = _postprocess_boxes(detections, (height, width))
        panoptic = self._merge(instances, box_masks, sem_seg)
        instances.pred_masks = self._masks(instances, box_masks)
        segments_info = detectron2_segments_info(panoptic)
        outputs = {
            "sem_seg": sem_seg,
            "instances": instances,
            "panoptic_seg": (panoptic.panoptic_seg, segments_info),
        }
        if self.merge_pps is not None:
            if part_seg is None:
                part_seg = torch.zeros_like(panoptic.panoptic_seg)
            outputs["pps"] = self.merge_pps(panoptic, part_seg)
        return outputs

    def _check_channels(self, num_channels: int) -> None:
        if self.label_of_channel is not None:
            expected = len(self.label_of_channel)
        elif self.spec is not None:
            expected = 1 + len(self.spec.stuff)
        else:
            return
        if num_channels != expected:
            raise ValueError(
                f"sem_seg: expected {expected} channels (MODEL.SEM_SEG_HEAD.NUM_CLASSES), "
                f"found {num_channels}"
            )

    def _merge(
        self, instances: Instances, box_masks: Tensor, sem_seg: Tensor
    ) -> PanopticSegmentation:
        labels = sem_seg.argmax(dim=0)
        if self.label_of_channel is not None:
            labels = self.label_of_channel[labels]
        return merge_panoptic_boxes(
            labels,
            box_masks,
            instances.pred_boxes.tensor,
            instances.scores,
            instances.pred_classes,
            stuff_ids=torch.arange(THINGS_LABEL + 1, len(sem_seg), device=sem_seg.device),
            score_threshold=self.score_threshold,
            overlap_threshold=self.overlap_threshold,
            stuff_area_limit=self.stuff_area_limit,
        )

    def _masks(self, instances: Instances, box_masks: Tensor) -> Tensor | ROIMasks:
        masks = ROIMasks(box_masks)
        if not self.paste_masks:
            return masks
        return masks.to_bitmasks(instances.pred_boxes, *instances.image_size).tensor


def _postprocess_boxes(detections: Instances, size: tuple[int, int]) -> tuple[Instances, Tensor]:
    """Run `detector_postprocess` without pasting masks.

    Args:
        detections: raw, with `pred_masks`.
        size: `(height, width)` of the output.

    Returns:
        the instances without masks, and their masks `(N, M, M)`.
    """
    fields = detections.get_fields()
    if "pred_masks" not in fields:
        raise ValueError(
            f"detections: expected pred_masks, which MODEL.MASK_ON adds, found {sorted(fields)}"
        )
    masks = fields["pred_masks"]
    masks = masks.tensor if isinstance(masks, ROIMasks) else masks[:, 0]
    others = {name: value for name, value in fields.items() if name != "pred_masks"}
    detections = Instances(detections.image_size, **others, **{_BOX_MASKS: masks})
    instances = detector_postprocess(detections, *size)
    masks = instances.get(_BOX_MASKS)
    instances.remove(_BOX_MASKS)
    return instances, masks
