"""IoU, precision and recall of labels, compared with the oracle's."""

from __future__ import annotations

import math

import pytest

from tests.oracles.part_iou import quality_of_labels


def found(row) -> tuple[float, float, float]:
    return row["IoU"], row["precision"], row["recall"]


def expect_as_oracle(rows, pairs) -> None:
    expected = quality_of_labels(pairs)
    for label, row in rows.items():
        if label in expected:
            assert found(row) == pytest.approx(expected[label], abs=1e-12, nan_ok=True), label
        else:
            assert row["gt_pixels"] == row["pred_pixels"] == 0 and math.isnan(row["IoU"])
