"""Compares plain torch with Triton on the benchmark's scenes.

`python -m verification.equal_backends`. Integers are equal bit by bit. Where a call interpolates,
samples within rounding of a threshold may fall either way: there a small share of the pixels may
differ, and areas and scores follow them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch
from benchmarks.on_device import SAMPLED
from benchmarks.table import Difference
from torch import Tensor

from verification.calls import main, named_tensors

#: Calls that compare interpolated values.
INTERPOLATING = {
    "merge_panoptic_boxes",
    "merge_panoptic_queries",
    "merge_panoptic_centers",
    "PPSPostProcessor",
}
#: Columns of a segment table that depend on single pixels.
OF_PIXELS = ("areas", "scores")


def compare(name: str, make: Callable, device: torch.device) -> Iterator[tuple[str, str]]:
    """The row of a call: what was compared, and the largest share of values that differ."""
    expected, found = (named_tensors(make(backend).run()) for backend in ("torch", "triton"))
    allowed = SAMPLED if name in INTERPOLATING else 0
    shares = {
        key: share_that_differs(found[key], expected[key])
        for key in expected
        if not (allowed and key.split(".")[-1] in OF_PIXELS)
    }
    worst = max(shares, key=shares.__getitem__)
    if shares[worst] > allowed:
        raise Difference(f"{worst}: {shares[worst]:.3%} of the values differ")
    yield f"{len(shares)} tensors", "none" if not shares[worst] else f"{shares[worst]:.1e}, {worst}"


def share_that_differs(found: Tensor, expected: Tensor) -> float:
    """The share of values that are not equal; NaN equals NaN."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise Difference(f"{found.dtype} {found.shape} where {expected.dtype} {expected.shape} is")
    both_nan = (found != found) & (expected != expected)
    differs = (found != expected) & ~both_nan
    return float(differs.double().mean()) if differs.numel() else 0.0


if __name__ == "__main__":
    sys.exit(main(("compared", "values that differ"), compare))
