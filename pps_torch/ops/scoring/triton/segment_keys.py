"""Segment keys inside Triton kernels, from the ids of a pixel.

See [`PixelRules`][pps_torch.ops.scoring.contract.PixelRules].
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.scoring.contract import PixelRules


def key_arguments(rules: PixelRules) -> dict[str, Tensor | int]:
    """Arguments of a kernel that gives each pixel its two segment keys, by name."""
    tables = rules.tables
    num_gt_keys, num_pred_keys = rules.num_keys()
    return {
        "group_of_sid_ptr": tables.group_of_sid.contiguous(),
        "is_thing_group_ptr": tables.is_thing_group.contiguous(),
        "class_of_eval_sid_ptr": tables.class_of_eval_sid.contiguous(),
        "last_sid": tables.group_of_sid.shape[0] - 1,
        "last_eval_sid": tables.class_of_eval_sid.shape[0] - 1,
        "num_gt_keys": num_gt_keys,
        "num_pred_keys": num_pred_keys,
        "capacity": rules.capacity,
    }


@triton.jit
def widened(values):
    """Widen ids to at least 32 bits, in which all numbers of the formats fit."""
    return values + tl.zeros(values.shape, tl.int32)


@triton.jit
def gt_segment(uid, group_of_sid_ptr, is_thing_group_ptr, last_sid, capacity):
    """Decode uids.

    Returns:
        segment key, scene id, part id (-1 where absent), whether the uid is legal, and whether
        its instance id is too high.
    """
    uid = widened(uid)
    is_legal = (uid >= 0) & ((uid < 100) | (uid > 999))
    uid = tl.where(is_legal, uid, 0)
    has_part = uid > 99999
    sid_iid = tl.where(has_part, uid // 100, uid)
    sid = tl.where(uid > 99, sid_iid // 1000, uid)
    sid = tl.where(sid > last_sid, last_sid, sid).to(tl.int32)
    iid = tl.where(uid > 99, sid_iid % 1000, -1).to(tl.int32)
    pid = tl.where(has_part, uid % 100, -1).to(tl.int32)
    group = tl.load(group_of_sid_ptr + sid).to(tl.int32)
    is_thing = tl.load(is_thing_group_ptr + group, mask=group >= 0, other=0) != 0
    slot = tl.where(iid >= 0, iid, tl.where(is_thing, capacity + 1, 0))
    is_too_high = (group >= 0) & (iid > capacity)
    key = tl.where((group < 0) | is_too_high, 0, 1 + group * (capacity + 2) + slot)
    return key, sid, pid, is_legal, is_too_high


@triton.jit
def pred_segment(sid, iid, class_of_eval_sid_ptr, last_eval_sid, capacity):
    """Decode predicted ids.

    Returns:
        segment key, class (-1 for none), and whether the instance id is negative or too high.
    """
    sid, iid = widened(sid), widened(iid)
    row = tl.where((sid < 0) | (sid > last_eval_sid), last_eval_sid, sid)
    pred_class = tl.load(class_of_eval_sid_ptr + row).to(tl.int32)
    is_outside = (pred_class >= 0) & ((iid < 0) | (iid > capacity))
    slot = tl.where((pred_class < 0) | is_outside, 0, iid).to(tl.int32)
    key = 1 + pred_class * (capacity + 2) + slot
    return tl.where((pred_class < 0) | is_outside, 0, key), pred_class, is_outside
