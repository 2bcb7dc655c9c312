"""Detectron2's `panoptic_seg` output, read into tensors with the data set's category ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pps_torch.checks import check_integer, check_ndim
from pps_torch.formats import PanopticSegmentation
from pps_torch.reserved import ABSENT

_LABEL_VOID = -1  # void in maps of category * label_divisor + instance


@dataclass(frozen=True)
class CategoryIds:
    """The data set's category ids by the contiguous ids of a model.

    Attributes:
        things, stuff: category id of each contiguous id.
        label_divisor: divisor of maps of `category * label_divisor + instance`.
    """

    things: dict[int, int]
    stuff: dict[int, int]
    label_divisor: int | None = None

    @classmethod
    def from_metadata(cls, metadata: Any) -> CategoryIds:
        """Read Detectron2's `thing_` and `stuff_dataset_id_to_contiguous_id`."""
        return cls(
            {v: k for k, v in metadata.thing_dataset_id_to_contiguous_id.items()},
            {v: k for k, v in metadata.stuff_dataset_id_to_contiguous_id.items()},
            getattr(metadata, "label_divisor", None),
        )

    def look_up(self, info: Mapping[str, Any]) -> int:
        """Look up the category id of a segment.

        Args:
            info: the segment's dict. If it has no `isthing`, its `category_id` is taken as it is.

        Raises:
            ValueError: the data set has no such contiguous id.
        """
        if info.get("isthing") is None:
            return info["category_id"]
        ids, kind = (self.things, "thing") if info["isthing"] else (self.stuff, "stuff")
        if info["category_id"] not in ids:
            raise ValueError(
                f"segments_info: expected {kind} category ids among {sorted(ids)}, "
                f"found {info['category_id']}"
            )
        return ids[info["category_id"]]


def read_panoptic_output(
    panoptic_seg: Tensor,
    segments_info: Sequence[Mapping[str, Any]] | None,
    category_ids: CategoryIds,
) -> PanopticSegmentation:
    """Read the panoptic output of a Detectron2 model for one image.

    The map stays on its device, and only the list of segments is looked at on the host. Pixels of a
    segment that is not listed get an id without a row, which
    [`PanopticQuality`][pps_torch.PanopticQuality] reports. A listed segment without pixels is not
    counted; panopticapi refuses it.

    Args:
        panoptic_seg: `(H, W)` integers; 0 is void.
        segments_info: dicts with `id`, `category_id` and, for contiguous ids, `isthing`. None: the
            map holds `category * label_divisor + instance`, and -1 is void; this waits for the
            device.
        category_ids: those of the data set.

    Raises:
        ValueError: a category that the data set does not have, an id that is listed twice or is 0,
            or no `label_divisor` where one is needed.

    Example:
        >>> ids = CategoryIds(things={0: 24}, stuff={1: 7})
        >>> info = [{"id": 5, "category_id": 0, "isthing": True}]
        >>> panoptic = read_panoptic_output(torch.tensor([[0, 5]]), info, ids)
        >>> panoptic.panoptic_seg.tolist(), panoptic.category_ids.tolist()
        ([[0, 1]], [24])
    """
    check_integer("panoptic_seg", panoptic_seg)
    check_ndim("panoptic_seg", panoptic_seg, 2, "(H, W)")
    if segments_info is None:
        panoptic_seg, segments_info = _split_labels(panoptic_seg, category_ids)
    ids = [int(info["id"]) for info in segments_info]
    if len(set(ids)) < len(ids) or 0 in ids:
        raise ValueError(f"segments_info: expected each id once and none equal to 0, found {ids}")
    if ids != list(range(1, len(ids) + 1)):
        panoptic_seg = _renumber(panoptic_seg, ids)
    categories = [category_ids.look_up(info) for info in segments_info]
    return _with_categories(
        panoptic_seg, categories, [bool(i.get("isthing")) for i in segments_info]
    )


def _split_labels(labels: Tensor, category_ids: CategoryIds) -> tuple[Tensor, list[dict[str, Any]]]:
    """Number the labels of a map 1..S, and list them as segments; this waits for the device."""
    divisor = category_ids.label_divisor
    if divisor is None:
        raise ValueError(
            "metadata.label_divisor: expected it, as the model returned no segments_info"
        )
    found, panoptic_seg = labels.unique(return_inverse=True)
    found = found.tolist()
    if _LABEL_VOID not in found:
        panoptic_seg = panoptic_seg + 1
    found = [label for label in found if label != _LABEL_VOID]
    infos = []
    for number, label in enumerate(found, start=1):
        category = label // divisor
        is_thing = category in category_ids.things
        infos.append({"id": number, "category_id": category, "isthing": is_thing})
    return panoptic_seg, infos


def _renumber(panoptic_seg: Tensor, ids: list[int]) -> Tensor:
    """Number the listed ids 1..S in their order, and all others S + 1; 0 stays 0."""
    keys, numbers = torch.tensor([0, *ids]).sort()
    keys, numbers = keys.to(panoptic_seg.device), numbers.to(panoptic_seg.device)
    values = panoptic_seg.long()
    position = torch.searchsorted(keys, values).clamp_(max=len(ids))
    return torch.where(keys[position] == values, numbers[position], len(ids) + 1)


def _with_categories(
    panoptic_seg: Tensor, categories: list[int], is_thing: list[bool]
) -> PanopticSegmentation:
    """Join a map of ids 1..S and the categories of its segments."""
    device, count = panoptic_seg.device, len(categories)
    zeros = torch.zeros(count, dtype=torch.int64, device=device)
    return PanopticSegmentation(
        panoptic_seg=panoptic_seg,
        category_ids=torch.tensor(categories, dtype=torch.int64).to(device),
        is_thing=torch.tensor(is_thing, dtype=torch.bool).to(device),
        scores=zeros.double(),
        areas=zeros,
        source=zeros + ABSENT,
        num_segments=torch.full((), count, device=device),
    )
