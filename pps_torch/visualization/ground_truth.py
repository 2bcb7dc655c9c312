"""Ground truth uids in the form of a PPS map, to see the two side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.checks import check_integer, check_ndim
from pps_torch.formats import decode_uids
from pps_torch.reserved import NO_PART
from pps_torch.specs import EvalSpec
from pps_torch.specs.lookups import dataset_lookups


def ground_truth_pps(uids: Tensor, spec: EvalSpec) -> Tensor:
    """Turn ground truth uids into the three channels of a prediction, for drawing only.

    Not what a perfect prediction would be: where a spec maps several dataset classes to one,
    instances of different dataset classes may have the same number.

    Args:
        uids: `(*B, H, W)` integers in the encoding of panoptic_parts.
        spec: what the ids mean; classes that it ignores become void.

    Returns:
        `(*B, 3, H, W)` int64 for `colorize_pps` and `pps_legend_entries`: instance
        numbers are the ground truth's plus one, and 0 for stuff and for crowds; undefined parts
        are 0.

    Raises:
        TypeError, ValueError: for another dtype or shape, or uids that mean nothing.
    """
    check_integer("uids", uids)
    check_ndim("uids", uids, 2, "(*B, H, W)")
    lookups = dataset_lookups(spec, uids.device)
    sids, iids, pids = decode_uids(uids)
    last_row = len(lookups.class_of_sid) - 1
    rows = torch.where((sids >= 0) & (sids < last_row), sids, last_row).long()
    class_index = lookups.class_of_sid[rows]
    is_evaluated = class_index >= 0
    class_index = class_index.clamp_min(0)

    eval_sids = torch.tensor(spec.eval_sids, device=uids.device)[class_index]
    instances = torch.where(lookups.is_thing_class[class_index], iids + 1, 0)
    parts = lookups.part_of_sid_pid[rows, pids + 1]
    parts = torch.where(lookups.has_parts_class[class_index], parts, NO_PART)
    void = torch.tensor([spec.ignore_label, 0, spec.ignore_label], device=uids.device)
    pps = torch.stack([eval_sids, instances, parts], dim=-3)
    return torch.where(is_evaluated.unsqueeze(-3), pps, void.view(3, 1, 1))
