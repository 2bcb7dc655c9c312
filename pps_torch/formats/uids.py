"""panoptic_parts' uids: scene class, instance and part in one decimal number."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.checks import check_device, check_integer, check_shape, checks_values
from pps_torch.reserved import ABSENT


def decode_uids(uids: Tensor, *, validate: bool | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Split uids into scene class, instance and part ids.

    A uid of one or two digits is a scene class alone (`sid`), one of four or five is
    `sid * 1000 + iid`, a longer one `sid * 100_000 + iid * 100 + pid`. The label format of
    panoptic_parts stops at `99_999_99`; longer uids decode by the same rule, so that a tensor
    can hold more than 99 classes.

    Args:
        uids: tensor of any shape and integer dtype.
        validate: check that no uid is negative or has three digits, which the format forbids.
            Default: on the CPU only, as the check waits for the device.

    Returns:
        `(sids, iids, pids)`, each of the shape of `uids` and at least int32; -1 where an
        instance or a part is absent.

    Raises:
        ValueError: with `validate`, for a negative or three-digit uid.

    Example:
        >>> import torch
        >>> decode_uids(torch.tensor([23, 23_003, 23_003_04]))
        (tensor([23, 23, 23]), tensor([-1,  3,  3]), tensor([-1, -1,  4]))
    """
    check_integer("uids", uids)
    uids = uids.to(torch.promote_types(uids.dtype, torch.int32))
    if checks_values(validate, uids):
        _refuse_illegal(uids)
    has_instance = uids > 99
    has_part = uids > 99_999
    absent = torch.full_like(uids, ABSENT)
    sids_iids = torch.where(has_part, uids // 100, uids)
    sids = torch.where(has_instance, sids_iids // 1000, uids)
    iids = torch.where(has_instance, sids_iids % 1000, absent)
    pids = torch.where(has_part, uids % 100, absent)
    return sids, iids, pids


def is_legal_uid(uids: Tensor) -> Tensor:
    """Mark the uids that are neither negative nor of three digits: bool, the shape of `uids`."""
    uids = uids.to(torch.promote_types(uids.dtype, torch.int32))  # a byte does not hold 999
    return (uids >= 0) & ((uids < 100) | (uids > 999))


def encode_uids(
    sids: Tensor, iids: Tensor, pids: Tensor, *, validate: bool | None = None
) -> Tensor:
    """Pack scene class, instance and part ids into uids: the inverse of `decode_uids`.

    Args:
        sids, iids, pids: tensors of one shape and any integer dtype; a negative iid or pid says
            that the level is absent.
        validate: check the ranges below. Default: on the CPU only; unchecked, the uid of other
            ids means something else.

    Returns:
        int64 uids of the same shape, which hold any sid of 32 bits.

    Raises:
        ValueError: for different shapes; with `validate`, for a negative sid, an iid above
            999, a pid above 99, a part without instance, sid 0 with an instance, or a sid above
            99 without instance and part (its uid would mean something else).
    """
    for name, ids in (("sids", sids), ("iids", iids), ("pids", pids)):
        check_integer(name, ids)
        check_shape(name, ids, tuple(sids.shape))
        check_device(name, ids, sids)
    sids, iids, pids = sids.long(), iids.long(), pids.long()
    if checks_values(validate, sids):
        _refuse_unencodable(sids, iids, pids)
    sids_iids = sids * 1000 + iids
    return torch.where(pids >= 0, sids_iids * 100 + pids, torch.where(iids >= 0, sids_iids, sids))


def _refuse_illegal(uids: Tensor) -> None:
    illegal = uids[~is_legal_uid(uids)]
    if illegal.numel():
        raise ValueError(
            f"uids: expected non-negative numbers of 1, 2 or at least 4 digits, found "
            f"{illegal.numel()} others, e.g. {illegal[0].item()}"
        )


def _refuse_unencodable(sids: Tensor, iids: Tensor, pids: Tensor) -> None:
    highest_sid = torch.iinfo(sids.dtype).max // 100_000 - 1
    refused = {
        f"sids in 0..{highest_sid}": (sids < 0) | (sids > highest_sid),
        "iids up to 999": iids > 999,
        "pids up to 99": pids > 99,
        "no part without an instance": (pids >= 0) & (iids < 0),
        "no instance of sid 0": (sids == 0) & (iids >= 0),
        "sids above 99 only together with a part": (sids > 99) & (pids < 0),
    }
    for expected, wrong in refused.items():
        if wrong.any():
            sid, iid, pid = (int(ids[wrong][0]) for ids in (sids, iids, pids))
            raise ValueError(
                f"encode_uids: expected {expected}, found sid {sid}, iid {iid}, pid {pid}"
            )
