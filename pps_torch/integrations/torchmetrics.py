"""torchmetrics: PQ and PartPQ as its metrics, for a MetricCollection and for Lightning.

Each holds the sums of a pps_torch metric as torchmetrics states that are summed over processes, so
torchmetrics and Lightning reset, move and synchronise them like those of their own metrics.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

if importlib.util.find_spec("torchmetrics") is None:
    raise ImportError("pps_torch.integrations.torchmetrics needs the library torchmetrics")

from torchmetrics import Metric

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.metrics import (
    PanopticQuality,
    PanopticQualityResult,
    PanopticRules,
    PartPanopticQuality,
    PartPanopticQualityResult,
)
from pps_torch.specs import EvalSpec


class _WrappedMetric(Metric):
    """A torchmetrics metric around a pps_torch metric, whose sums are its states.

    Attributes:
        result: the result of the pps_torch metric at the latest `compute()`, with the numbers of
            each class and `table()`; None before.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    result: PanopticQualityResult | PartPanopticQualityResult | None

    def __init__(
        self, metric: PanopticQuality | PartPanopticQuality, key: str | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.key = key
        self.result = None
        self._sums = metric.count_names
        for name in self._sums:
            self.add_state(name, torch.zeros_like(getattr(metric, name)), dist_reduce_fx="sum")
        # A MetricCollection updates only one of several metrics with equal states. This state
        # differs between metrics that count by different rules.
        self.add_state("fingerprint", _fingerprint(metric), dist_reduce_fx="max")
        self.metric = metric
        if key is not None and key not in self._values():
            raise ValueError(f"key: expected one of {sorted(self._values())}, got {key!r}")

    def compute(self) -> dict[str, Tensor] | Tensor:
        """Compute the qualities: float64 scalars by name or, with `key`, one scalar.

        Raises:
            ValueError: the updates had ids that the rules do not cover; it says how many.
        """
        self._lend_sums()
        self.result = self.metric.compute()
        values = {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in self._values(self.result).items()
        }
        return values if self.key is None else values[self.key]

    def set_dtype(self, dst_type: str | torch.dtype) -> Metric:
        """Do nothing: all states are counts, exact as the integers that they are."""
        return self

    def _count(self, *inputs: Any) -> None:
        """Count images with the pps_torch metric, and take over its sums."""
        self._lend_sums()
        try:
            self.metric.update(*inputs)
        finally:  # images for which `validate` raises are counted too
            for name in self._sums:
                setattr(self, name, getattr(self.metric, name))

    def _lend_sums(self) -> None:
        """Give copies of the states to the pps_torch metric, which counts in place."""
        for name in self._sums:
            setattr(self.metric, name, getattr(self, name).clone())

    def _values(self, result: Any = None) -> dict[str, float]:
        """The numbers of a result by name; without a result, those of the metric as it is."""
        raise NotImplementedError


def _fingerprint(metric: PanopticQuality | PartPanopticQuality) -> Tensor:
    """Hash the rules and checks of a metric to `(32,)` int64.

    Metrics that count differently, or that do not raise errors for the same images, get different
    hashes. The backend is left out, as all backends give the same bits.
    """
    capacity = metric.capacity if isinstance(metric, PartPanopticQuality) else None
    settings = (metric.class_ids, metric._rules, capacity, metric.validate)
    text = repr((type(metric).__name__, settings))
    return torch.tensor(list(hashlib.sha256(text.encode()).digest()))


class PanopticQualityMetric(_WrappedMetric):
    """[`PanopticQuality`][pps_torch.PanopticQuality] as a torchmetrics metric.

    `compute()` returns `PQ, SQ, RQ, n` and the same with `_things` and `_stuff`; qualities are
    fractions.

    Args:
        categories: COCO category dicts (`id`, `name`, `isthing`), or an `EvalSpec`.
        rules, validate, backend: as in [`PanopticQuality`][pps_torch.PanopticQuality].
        key: one of the names above: `compute()` then returns this scalar alone, as Lightning's
            `self.log` needs it. Default: a dict of all.
        kwargs: arguments of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: for wrong categories, or unknown rules, backend or key.

    Example:
        >>> import torch
        >>> from torchmetrics import MetricCollection
        >>> from pps_torch import PanopticSegmentation, PanopticTarget
        >>> from pps_torch.integrations.torchmetrics import PanopticQualityMetric
        >>> collection = MetricCollection([PanopticQualityMetric(
        ...     [{"id": 1, "name": "person", "isthing": 1}])])
        >>> ids, segments = torch.tensor([[1, 1, 0]]), [{"id": 1, "category_id": 1}]
        >>> collection.update(PanopticSegmentation.from_segments(ids, segments),
        ...                   PanopticTarget.from_segments(ids, segments))
        >>> collection.compute()["PQ"].item()
        1.0
    """

    metric: PanopticQuality

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool = False,
        backend: str = "auto",
        key: str | None = None,
        **kwargs: Any,
    ) -> None:
        metric = PanopticQuality(categories, rules=rules, validate=validate, backend=backend)
        super().__init__(metric, key, **kwargs)

    def update(self, pred: PanopticSegmentation, target: PanopticTarget) -> None:
        """Count a batch of images, see [`update`][pps_torch.metrics.PanopticQuality.update]."""
        self._count(pred, target)

    def _values(self, result: PanopticQualityResult | None = None) -> dict[str, float]:
        groups = (result or self.metric.compute()).summary
        suffixes = {"All": "", "Things": "_things", "Stuff": "_stuff"}
        return {
            name + suffixes[group]: value
            for group, values in groups.items()
            for name, value in values.items()
        }


class PartPanopticQualityMetric(_WrappedMetric):
    """[`PartPanopticQuality`][pps_torch.PartPanopticQuality] as a torchmetrics metric.

    `compute()` returns that metric's summary: `PartPQ, PartSQ, PartRQ, n` and the same with
    `_parts` and `_noparts`; qualities are fractions.

    The arguments of `update` are not called `pred` and `target`, so that a MetricCollection that
    also has PQ can pass each metric its own, by name.

    Args:
        spec: the `EvalSpec`.
        capacity, validate, backend: as in [`PartPanopticQuality`][pps_torch.PartPanopticQuality].
        key, kwargs: as in `PanopticQualityMetric`.

    Raises:
        ValueError: for a wrong capacity, or an unknown backend or key.

    Example:
        >>> import torch
        >>> from pps_torch import EvalSpec
        >>> from pps_torch.integrations.torchmetrics import PartPanopticQualityMetric
        >>> metric = PartPanopticQualityMetric(EvalSpec.load("cpp_default"), key="PartPQ")
        >>> gt_uids = torch.tensor([[7, 26_001_02, 26_001_05]])  # road, a car of two parts
        >>> metric.update(torch.tensor([[[7, 26, 26]], [[1, 1, 1]], [[1, 2, 5]]]), gt_uids)
        >>> metric.compute()
        tensor(1., dtype=torch.float64)
    """

    metric: PartPanopticQuality

    def __init__(
        self,
        spec: EvalSpec,
        *,
        capacity: int = 1024,
        validate: bool = False,
        backend: str = "auto",
        key: str | None = None,
        **kwargs: Any,
    ) -> None:
        metric = PartPanopticQuality(spec, capacity=capacity, validate=validate, backend=backend)
        super().__init__(metric, key, **kwargs)

    def update(self, pps: Tensor, gt_uids: Tensor) -> None:
        """Count a batch of images, see [`update`][pps_torch.metrics.PartPanopticQuality.update].

        Args:
            pps: the prediction, there called `pred`.
            gt_uids: the ground truth, there called `target`.
        """
        self._count(pps, gt_uids)

    def _values(self, result: PartPanopticQualityResult | None = None) -> dict[str, float]:
        return dict((result or self.metric.compute()).summary)
