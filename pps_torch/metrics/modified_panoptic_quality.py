"""Modified panoptic quality (PQ-dagger), with PQ itself from the same counts.

PQ-dagger (Porzi et al., Seamless Scene Segmentation, CVPR 2019, arXiv 1905.01220) spares stuff the
threshold of one half. For a stuff class it is the sum of the IoUs of all overlapping segments of
the class over the number of its ground-truth segments; predictions without ground truth cost
nothing. For a thing class it is PQ.

Parity: with `rules="torchmetrics"` it is torchmetrics' `ModifiedPanopticQuality`, to the
float32 of its IoUs; with other rules their void, crowds and pieces of stuff hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pps_torch.metrics.categories import GROUPS
from pps_torch.metrics.panoptic_quality import PanopticQuality, PanopticQualityResult
from pps_torch.metrics.panoptic_rules import PanopticRules, evaluated_table
from pps_torch.metrics.segment_metric import SegmentComparison, iou_of_limbs
from pps_torch.metrics.text_tables import mean_of_present, percent, text_table
from pps_torch.ops.scoring.overlap_ious import add_overlap_ious
from pps_torch.specs import EvalSpec


@dataclass(frozen=True)
class ModifiedPanopticQualityResult(PanopticQualityResult):
    """PQ and PQ-dagger of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: as for PQ; each group also has `PQ_dagger` and `n_dagger`, the number of
            classes in that mean: a stuff class counts there if the ground truth has it.
        per_class: as for PQ, with `PQ_dagger`, and for stuff `overlap_iou`, the sum of the
            IoUs, and `gt_segments`.
    """

    def table(self) -> str:
        """Aligned text, in per cent: PQ-dagger of the groups, then the tables of PQ."""
        rows = [
            (name, percent(group["PQ_dagger"]), group["n_dagger"])
            for name, group in self.summary.items()
        ]
        return f"{text_table(('', 'PQ-dagger', 'n'), rows)}\n\n{super().table()}"


class ModifiedPanopticQuality(PanopticQuality):
    """Accumulates PQ-dagger and PQ over batches, on the device of its state.

    Both come from one reading of the maps: it is a `PanopticQuality` with one more state,
    and it also takes what another one has compared by the same rules:
    `modified.add(panoptic_quality.compare(pred, target))`.

    Args:
        categories, rules, validate, backend: as for `PanopticQuality`. The sums of PQ-dagger
            are taken by torch operations on any backend, in the table of joint counts.

    Example:
        >>> import torch
        >>> from pps_torch import PanopticSegmentation, PanopticTarget
        >>> metric = ModifiedPanopticQuality([{"id": 7, "name": "road", "isthing": 0}])
        >>> segments = [{"id": 1, "category_id": 7}]
        >>> pred = PanopticSegmentation.from_segments(torch.tensor([[1, 0, 0, 0]]), segments)
        >>> target = PanopticTarget.from_segments(torch.tensor([[1, 1, 1, 1]]), segments)
        >>> result = metric.update(pred, target).compute()
        >>> result.summary["All"]["PQ"], result.summary["All"]["PQ_dagger"]
        (0.0, 0.25)
    """

    overlap_sums: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(categories, rules=rules, validate=validate, backend=backend)
        self._add_state("overlap_sums", len(self.class_ids), 3)

    def add(self, comparison: SegmentComparison) -> ModifiedPanopticQuality:
        """Counts a batch that `compare` has compared; errors as for `update`."""
        super().add(comparison)
        joint, matches, _, gt_class, pred_class, is_crowd, *_ = comparison
        add_overlap_ious(
            self.overlap_sums,
            evaluated_table(joint, is_crowd, self.rules),
            gt_class,
            pred_class,
            (gt_class >= 0) & (matches.gt_area > 0) & ~is_crowd,
        )
        return self

    def compute(self) -> ModifiedPanopticQualityResult:
        """The qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        result = super().compute()
        per_class = {
            category_id: _with_dagger(row, sums)
            for (category_id, row), sums in zip(
                result.per_class.items(), self.overlap_sums.tolist()
            )
        }
        summary = {}
        for name, kinds in GROUPS.items():
            members = [row for row in per_class.values() if row["isthing"] in kinds]
            mean, n = mean_of_present((row["PQ_dagger"], _is_present(row)) for row in members)
            summary[name] = {**result.summary[name], "PQ_dagger": mean, "n_dagger": n}
        return ModifiedPanopticQualityResult(summary, per_class)


def _with_dagger(row: dict[str, Any], sums: list[int]) -> dict[str, Any]:
    """The row of a class in PQ with what PQ-dagger adds."""
    if row["isthing"]:
        return {**row, "PQ_dagger": row["PQ"]}
    upper, lower, gt_segments = sums
    iou = iou_of_limbs(upper, lower, gt_segments)
    quality = iou / gt_segments if gt_segments else 0.0
    return {**row, "PQ_dagger": quality, "overlap_iou": iou, "gt_segments": gt_segments}


def _is_present(row: Mapping[str, Any]) -> bool:
    """Whether a class is in the mean of PQ-dagger."""
    segments = row["tp"] + row["fp"] + row["fn"] if row["isthing"] else row["gt_segments"]
    return bool(segments > 0)
