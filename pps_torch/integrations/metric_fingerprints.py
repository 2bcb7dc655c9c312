"""By what rules a metric counts, as a tensor that travels with its sums."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from pps_torch.metrics.sum_metric import SumMetric

EXPECTED_ONE_KIND = (
    "expected the state of a metric with the same classes, rules and settings, found another"
)


def common_fingerprint(fingerprints: Tensor) -> Tensor:
    """Reduce the fingerprints `(P, 32)` of states that are to be added up.

    Raises:
        ValueError: if they differ.
    """
    if not (fingerprints == fingerprints[0]).all():
        raise ValueError(EXPECTED_ONE_KIND)
    return fingerprints[0]


def fingerprint_of(metric: SumMetric) -> Tensor:
    """Hash the rules and checks of a metric to `(32,)` int64.

    Metrics that count differently, or that do not raise errors for the same images, get different
    hashes. The backend is left out, as all backends give the same bits.
    """
    names = ("capacity", "dilation_ratio", "ignore_label")
    own = [getattr(metric, name, None) for name in names]
    text = repr((type(metric).__name__, metric.class_ids, metric._rules, own, metric.validate))
    return torch.tensor(list(hashlib.sha256(text.encode()).digest()), device="cpu")
