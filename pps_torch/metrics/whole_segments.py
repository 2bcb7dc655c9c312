"""PQ of PPS maps: PartPQ by a spec in which no class has parts."""

from __future__ import annotations

from dataclasses import replace

from pps_torch.specs import EvalSpec


def whole_segments(spec: EvalSpec) -> EvalSpec:
    """The same spec with no class that has parts: PartPQ by it is PQ.

    A match then counts with its mask IoU, and a segment without part labels is no crowd. The
    other rules of the two metrics are the same: see :class:`~pps_torch.PartPanopticQuality`.

    Example:
        >>> whole_segments(EvalSpec.load("cpp_default")).parts
        ()
    """
    no_parts = tuple(sid for sid in spec.eval_sids if sid in spec.parts or sid in spec.no_parts)
    return replace(spec, parts=(), no_parts=no_parts)
