"""torchmetrics: PQ, PartPQ and their relatives as its metrics, for collections and for Lightning.

Each holds the sums of a pps_torch metric as torchmetrics states that are summed over processes, so
torchmetrics and Lightning reset, move and synchronise them like those of their own metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pps_torch.integrations.libraries import importing

with importing("torchmetrics", "pps_torch.integrations.torchmetrics"):
    from torchmetrics import Metric

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.integrations.metric_fingerprints import (
    EXPECTED_ONE_KIND,
    common_fingerprint,
    fingerprint_of,
)
from pps_torch.metrics import (
    BoundaryPanopticQuality,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticQualityResult,
    PanopticRules,
    PartIoU,
    PartPanopticQuality,
)
from pps_torch.metrics.sum_metric import SumMetric
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
    plot_lower_bound = 0.0

    result: Any  # the Result of the metric inside, or None

    #: Qualities of a class by the names of `compute()`: PQ, SQ, RQ or the like, the main one first.
    _QUALITIES: Mapping[str, str]

    #: The attribute of the result with the classes, in the order of `class_ids`.
    _CLASSES = "classes"

    def __init__(
        self,
        metric: SumMetric,
        key: str | None,
        return_sq_and_rq: bool = False,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if key is not None and (return_sq_and_rq or return_per_class):
            raise ValueError("key: expected None with return_sq_and_rq or return_per_class")
        self.key = key
        self.return_sq_and_rq = return_sq_and_rq
        self.return_per_class = return_per_class
        self.result = None
        # A MetricCollection updates only one of several metrics with equal states. This state
        # differs between metrics that count by different rules. It is the first: torchmetrics
        # before 1.7 compares no other, and it is looked at before any sums are added up.
        fingerprint = fingerprint_of(metric).to(metric.device)
        self.add_state("fingerprint", fingerprint, dist_reduce_fx=common_fingerprint)
        self._sums = metric.count_names
        for name in self._sums:
            self.add_state(name, torch.zeros_like(getattr(metric, name)), dist_reduce_fx="sum")
        self.metric: Any = metric
        if key is not None and key not in self._values():
            raise ValueError(f"key: expected one of {sorted(self._values())}, found {key!r}")

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The ids of the classes, in the order of `return_per_class`."""
        return tuple(self.metric.class_ids)

    def compute(self) -> dict[str, Tensor] | Tensor:
        """Compute the qualities: float64 scalars by name.

        With `key` it is one scalar; with `return_per_class` `(C,)`, nan for a class without
        segments; with `return_sq_and_rq` PQ, SQ and RQ in a last axis `(3,)` or `(C, 3)`.

        Raises:
            ValueError: the updates had ids that the rules do not cover; it says how many.
        """
        self._lend_sums()
        self.result = self.metric.compute()
        if self.return_per_class or self.return_sq_and_rq:
            return self._qualities()
        values = {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in self._values(self.result).items()
        }
        return values if self.key is None else values[self.key]

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot one result or several over time, as torchmetrics' own metrics do."""
        return self._plot(val, ax)

    def _qualities(self) -> Tensor:
        """The main quality, or all, of each class or of all classes together."""
        names = list(self._QUALITIES.values()) if self.return_sq_and_rq else [self._main_quality]
        classes = getattr(self.result, self._CLASSES).values()
        groups = classes if self.return_per_class else [self.result.all]
        rows = [[getattr(group, name) for name in names] for group in groups]
        table = torch.tensor(rows, dtype=torch.float64, device=self.device)
        table = table if self.return_sq_and_rq else table[:, 0]
        return table if self.return_per_class else table[0]

    @property
    def _main_quality(self) -> str:
        return next(iter(self._QUALITIES.values()))

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

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load the states, unless they are of a metric that counts otherwise."""
        found = state_dict.get(prefix + "fingerprint")
        if found is not None and not torch.equal(found.cpu(), fingerprint_of(self.metric)):
            error_msgs.append(f"{prefix}fingerprint: {EXPECTED_ONE_KIND}")
            return
        rest = (strict, missing_keys, unexpected_keys, error_msgs)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def _values(self, result: Any = None) -> dict[str, float]:
        """The numbers of a result by name; without a result, those of the metric as it is."""
        return dict((result or self.metric.compute()).summary)


class _PanopticMetric(_WrappedMetric):
    """PQ or a relative, of panoptic maps."""

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


class PanopticQualityMetric(_PanopticMetric):
    """[`PanopticQuality`][pps_torch.PanopticQuality] as a torchmetrics metric.

    `compute()` returns `PQ, SQ, RQ, n` and the same with `_things` and `_stuff`; qualities are
    fractions.

    Args:
        categories: COCO category dicts (`id`, `name`, `isthing`), or an `EvalSpec`.
        rules, validate, backend: as in [`PanopticQuality`][pps_torch.PanopticQuality].
        key: one of the names above: `compute()` then returns this scalar alone, as Lightning's
            `self.log` needs it. Default: a dict of all.
        return_sq_and_rq, return_per_class: `compute()` then returns a tensor: `(3,)` of PQ, SQ and
            RQ, `(C,)` of the PQ of each class, or `(C, 3)`. Classes are in the order of
            `class_ids`, that of the categories; in torchmetrics `(C,)` is `(1, C)`, and things come
            before stuff.
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

    _QUALITIES = {"PQ": "pq", "SQ": "sq", "RQ": "rq"}  # noqa: RUF012

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_sq_and_rq: bool = False,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = PanopticQuality(categories, rules=rules, validate=validate, backend=backend)
        super().__init__(metric, key, return_sq_and_rq, return_per_class, **kwargs)


class ModifiedPanopticQualityMetric(_PanopticMetric):
    """[`ModifiedPanopticQuality`][pps_torch.ModifiedPanopticQuality], PQ-dagger, as one of them.

    `compute()` returns what `PanopticQualityMetric` does, and `PQ_dagger, n_dagger` likewise with
    suffixes. With `return_per_class` it is PQ-dagger of each class.

    Args:
        categories, rules, validate, backend, key, return_per_class, kwargs: as in
            `PanopticQualityMetric`.
    """

    _QUALITIES = {"PQ_dagger": "pq_dagger"}  # noqa: RUF012

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        settings = {"rules": rules, "validate": validate, "backend": backend}
        metric = ModifiedPanopticQuality(categories, **settings)  # type: ignore[arg-type]
        super().__init__(metric, key, False, return_per_class, **kwargs)


class BoundaryPanopticQualityMetric(_PanopticMetric):
    """[`BoundaryPanopticQuality`][pps_torch.BoundaryPanopticQuality] as one of them.

    `compute()` returns what `PanopticQualityMetric` does, and `BoundaryPQ, BoundarySQ,
    BoundaryRQ` likewise with suffixes. `return_per_class` and `return_sq_and_rq` are about these.

    Args:
        categories, validate, backend, key, return_sq_and_rq, return_per_class, kwargs: as in
            `PanopticQualityMetric`.
        dilation_ratio: as in [`BoundaryPanopticQuality`][pps_torch.BoundaryPanopticQuality].
    """

    _QUALITIES = {  # noqa: RUF012
        "BoundaryPQ": "boundary_pq",
        "BoundarySQ": "boundary_sq",
        "BoundaryRQ": "boundary_rq",
    }

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        dilation_ratio: float = 0.02,
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_sq_and_rq: bool = False,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = BoundaryPanopticQuality(
            categories, dilation_ratio=dilation_ratio, validate=validate, backend=backend
        )
        super().__init__(metric, key, return_sq_and_rq, return_per_class, **kwargs)


class MeanIoUMetric(_WrappedMetric):
    """[`MeanIoU`][pps_torch.MeanIoU] as a torchmetrics metric.

    `compute()` returns `mIoU, mAcc, n`, or with `return_per_class` the IoU of each class.

    Args:
        categories, ignore_label, validate, backend: as in [`MeanIoU`][pps_torch.MeanIoU].
        key, return_per_class, kwargs: as in `PanopticQualityMetric`.

    Example:
        >>> import torch
        >>> from pps_torch.integrations.torchmetrics import MeanIoUMetric
        >>> metric = MeanIoUMetric([{"id": 7, "name": "road", "isthing": 0}], key="mIoU")
        >>> metric(torch.tensor([[7, 7, 255]]), torch.tensor([[7, 7, 7]])).item()
        0.6666666666666666
    """

    _QUALITIES = {"mIoU": "iou"}  # noqa: RUF012

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        ignore_label: int | None = None,
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = MeanIoU(categories, ignore_label=ignore_label, validate=validate, backend=backend)
        super().__init__(metric, key, False, return_per_class, **kwargs)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Count a batch of semantic maps, see [`update`][pps_torch.metrics.MeanIoU.update]."""
        self._count(pred, target)


class _PartMetric(_WrappedMetric):
    """PartPQ or PartIoU, of PPS maps and uids."""

    def update(self, pps: Tensor, gt_uids: Tensor) -> None:
        """Count a batch of images, see [`update`][pps_torch.metrics.PartPanopticQuality.update].

        The arguments are not called `pred` and `target`, so that a MetricCollection that also has
        PQ can pass each metric its own, by name.

        Args:
            pps: the prediction, there called `pred`.
            gt_uids: the ground truth, there called `target`.
        """
        self._count(pps, gt_uids)


class PartPanopticQualityMetric(_PartMetric):
    """[`PartPanopticQuality`][pps_torch.PartPanopticQuality] as a torchmetrics metric.

    `compute()` returns that metric's summary: `PartPQ, PartSQ, PartRQ, n` and the same with
    `_parts` and `_noparts`; qualities are fractions.

    Args:
        spec: the `EvalSpec`.
        capacity, validate, backend: as in [`PartPanopticQuality`][pps_torch.PartPanopticQuality].
        key, return_sq_and_rq, return_per_class, kwargs: as in `PanopticQualityMetric`; PQ, SQ and
            RQ are PartPQ, PartSQ and PartRQ.

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

    _QUALITIES = {"PartPQ": "pq", "PartSQ": "sq", "PartRQ": "rq"}  # noqa: RUF012

    def __init__(
        self,
        spec: EvalSpec,
        *,
        capacity: int = 1024,
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_sq_and_rq: bool = False,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = PartPanopticQuality(spec, capacity=capacity, validate=validate, backend=backend)
        super().__init__(metric, key, return_sq_and_rq, return_per_class, **kwargs)


class PartIoUMetric(_PartMetric):
    """[`PartIoU`][pps_torch.PartIoU], IoU of part labels and scene classes, as one of them.

    `compute()` returns that metric's summary: `PartIoU, n_parts, mIoU, n`; IoUs are fractions.

    Args:
        spec: the `EvalSpec`.
        validate, backend: as in [`PartIoU`][pps_torch.PartIoU].
        key, kwargs: as in `PanopticQualityMetric`.
        return_per_class: `compute()` then returns the IoU of each part label, `(P,)`, nan for one
            without pixels, in the order of `class_ids`: here the flat part ids, 0 for background.

    Raises:
        ValueError: for an unknown backend or key.

    Example:
        >>> import torch
        >>> from pps_torch import EvalSpec
        >>> from pps_torch.integrations.torchmetrics import PartIoUMetric
        >>> metric = PartIoUMetric(EvalSpec.load("cpp_default"), key="PartIoU")
        >>> gt_uids = torch.tensor([[7, 26_001_02, 26_001_05]])  # road, a car of two parts
        >>> metric.update(torch.tensor([[[7, 26, 26]], [[1, 1, 1]], [[1, 2, 2]]]), gt_uids)
        >>> metric.compute()  # background 1, wheels 1/2, chassis 0
        tensor(0.5000, dtype=torch.float64)
    """

    _QUALITIES = {"PartIoU": "iou"}  # noqa: RUF012
    _CLASSES = "part_labels"

    def __init__(
        self,
        spec: EvalSpec,
        *,
        validate: bool | None = False,
        backend: str = "auto",
        key: str | None = None,
        return_per_class: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = PartIoU(spec, validate=validate, backend=backend)
        super().__init__(metric, key, False, return_per_class, **kwargs)

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The flat ids of the part labels, in the order of `return_per_class`."""
        return tuple(self.metric.part_ids)
