"""What users write: mypy checks it in strict mode (.ci/run), so the public names have types."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import assert_type

from pps_torch import (
    EvalSpec,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticQualityResult,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
    PPSMerger,
    PPSPostProcessor,
    decode_uids,
    merge_panoptic,
    merge_pps,
)
from pps_torch.io import InputError, PanopticFile, read_pps, write_pps
from pps_torch.metrics import ImageRecord
from pps_torch.visualization import colorize_pps


def merge(sem_seg: Tensor, masks: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
    """Functions and tables."""
    spec = assert_type(EvalSpec.load("cpp_default"), EvalSpec)
    panoptic = merge_panoptic(sem_seg, masks, scores, classes, stuff_ids=spec.stuff)
    assert_type(panoptic, PanopticSegmentation)
    assert_type(panoptic.panoptic_seg, Tensor)
    for info in panoptic.segments_info():
        print(info["id"])
    pps = assert_type(merge_pps(panoptic, sem_seg, spec), Tensor)
    return assert_type(colorize_pps(pps, spec), Tensor)


def modules(spec: EvalSpec, logits: Tensor) -> PPSMerger:
    """Modules keep their own type."""
    post_process = assert_type(PPSPostProcessor(spec).eval(), PPSPostProcessor)
    print(post_process.semantic_ids.shape)
    return PPSMerger(spec).to(logits.device)


def evaluate(pred: PanopticSegmentation, target: PanopticTarget, uids: Tensor) -> float:
    """Metrics and results."""
    metric = PanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
    result = assert_type(metric.update(pred, target).sync().compute(), PanopticQualityResult)
    assert_type(metric.synced(), PanopticQuality)
    assert_type(result.things.pq, float)
    assert_type(result.classes[1].iou_sum, float)
    assert_type(result.classes[1].is_thing, bool)
    assert_type(result.flat(), dict[str, float])
    print(result, result.table(), result.per_class[1]["tp"], result.as_dict()["summary"])
    sids, _, _ = assert_type(decode_uids(uids), tuple[Tensor, Tensor, Tensor])
    parts = PartPanopticQuality(EvalSpec.load("cpp_default"), capacity=64, validate=None)
    parts.update(pred=torch.stack([sids, sids, sids]), target=uids).merge_state(parts)
    for record in parts.record_segments(torch.stack([sids, sids, sids]), uids):
        assert_type(record, ImageRecord)
    dagger = ModifiedPanopticQuality(EvalSpec.load("cpp_default")).update(pred, target).compute()
    assert_type(dagger.stuff.pq_dagger, float)
    assert_type(dagger.classes[7].gt_segments, int | None)
    assert_type(parts.compute().summary["PartPQ"], float)
    return assert_type(parts.compute().value, float)


def files(path: str, pps: Tensor) -> PanopticFile | None:
    """Names that are imported when first used."""
    write_pps(path, pps)
    print(read_pps(path).shape)
    try:
        return assert_type(PanopticFile.load(path), PanopticFile)
    except InputError as error:
        return assert_type(print(error), None)
