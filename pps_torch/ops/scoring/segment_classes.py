"""The class of each row of a segment table, and the rows and pixels without one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import UNKNOWN, UNUSED, VOID
from pps_torch.ops.scoring.on_host import classes_on_host


def segment_classes(category_ids: Tensor, class_ids: Tensor, *, backend: str = "auto") -> Tensor:
    """Look up the class index of each segment id.

    Args:
        category_ids: `(B, S)` integers, the category of segments 1..S, negative in unused rows.
        class_ids: `(C,)` distinct integers of 0 or more.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(B, S + 2)` int64: void in column 0, unused in the last column, which stands for all
        ids outside the table.

    Example:
        >>> category_ids = torch.tensor([[26, 7, 99, -1]])
        >>> segment_classes(category_ids, torch.tensor([7, 26]))
        tensor([[-1,  1,  0, -2, -3, -3]])
    """
    if uses_triton(backend, category_ids):
        from pps_torch.ops.scoring.triton import segment_classes as twin

        return twin.segment_classes(category_ids, class_ids)
    if is_on_host(category_ids):
        (classes,) = classes_on_host(class_ids.numpy(), category_ids.numpy())
        return torch.from_numpy(classes)
    number = torch.arange(1, len(class_ids) + 1, device=class_ids.device)
    number = ((category_ids[:, :, None] == class_ids) * number).sum(2)
    index = torch.where(number > 0, number - 1, UNKNOWN)
    index = torch.where(category_ids < 0, UNUSED, index)
    return F.pad(F.pad(index, (1, 0), value=VOID), (0, 1), value=UNUSED)


def count_unclassed(classes: Tensor, areas: Tensor, *, backend: str = "auto") -> Tensor:
    """Count what the table of a map does not cover.

    Args:
        classes: as `segment_classes` returns them.
        areas: int64 of the same shape, pixels of each segment id.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(2,)` int64: pixels of unused rows, and segments of an unknown category.
    """
    if uses_triton(backend, classes):
        from pps_torch.ops.scoring.triton import segment_classes as twin

        return twin.count_unclassed(classes, areas)
    if is_on_host(classes):
        unused, unknown = (classes.numpy() == kind for kind in (UNUSED, UNKNOWN))
        counts = [int(areas.numpy()[unused].sum()), int(np.count_nonzero(unknown))]
        return torch.tensor(counts, device="cpu")
    return torch.stack([(areas * (classes == UNUSED)).sum(), (classes == UNKNOWN).sum()])
