"""Slow reference for uids: one Python int at a time, digits counted."""

from __future__ import annotations

import numpy as np

ABSENT = -1


def decode_uid(uid: int) -> tuple[int, int, int]:
    """(sid, iid, pid) of one uid; a level that the digits do not hold is ABSENT."""
    if uid < 0:
        raise ValueError(f"negative uid {uid}")
    digits = len(str(uid))
    if digits <= 2:
        return uid, ABSENT, ABSENT
    if digits in (4, 5):
        return uid // 1000, uid % 1000, ABSENT
    if digits in (6, 7):
        return uid // 100_000, uid // 100 % 1000, uid % 100
    raise ValueError(f"a uid has 1, 2, 4, 5, 6 or 7 digits, found {uid}")


def encode_uid(sid: int, iid: int, pid: int) -> int:
    """The inverse of decode_uid."""
    if iid == ABSENT:
        return sid
    return sid * 1000 + iid if pid == ABSENT else (sid * 1000 + iid) * 100 + pid


def decode_uids(uids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """decode_uid for every element."""
    levels = [decode_uid(int(uid)) for uid in uids.ravel()]
    sids, iids, pids = np.array(levels, dtype=np.int64).reshape(-1, 3).T
    return sids.reshape(uids.shape), iids.reshape(uids.shape), pids.reshape(uids.shape)
