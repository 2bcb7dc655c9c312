"""The merge of a panoptic map and a part map into a 3-channel PPS map."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_integer,
    check_ndim,
    check_shape,
    checks_values,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.formats.panoptic import check_container
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.module_repr import format_settings
from pps_torch.ops.backend import check_backend
from pps_torch.ops.painting.pps_channels import pps_channels
from pps_torch.specs import EvalSpec
from pps_torch.specs.lookups import PartLookups, part_lookups

_MAX_INT32 = torch.iinfo(torch.int32).max


def merge_pps(
    panoptic: PanopticSegmentation,
    part_seg: Tensor,
    spec: EvalSpec,
    *,
    validate: bool | None = None,
    backend: str = "auto",
) -> Tensor:
    """Merge a panoptic map and a part map into the PPS map `[scene class, instance, part]`.

    The rule is that of panoptic_parts' `merge_to_pps`. Instance numbers count up from 1 within
    a class, in the order of the segments. Parts are looked up per class: a flat part that the
    class cannot have becomes the spec's `ignore_label`; classes without parts store part 1.
    Void pixels store `[ignore_label, 0, 0]`.

    Args:
        panoptic: segments whose `category_ids` are evaluation scene ids of `spec`. A class
            that the spec does not know is stored as it is, without parts.
        part_seg: `(*B, H, W)`, any integer dtype: flat part ids; 0, and ids that the spec
            does not know, are no part of any class.
        spec: an `EvalSpec`. Its tables are copied to the device at the first call there
            (`PPSMerger` holds them).
        validate: refuse segment ids outside the table, and ids that int32 cannot hold. Default:
            on the CPU only; unchecked, pixels of both become void.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(*B, 3, H, W)` int32.

    Raises:
        TypeError, ValueError: for a wrong dtype or shape, naming the argument.

    Example:
        >>> import torch
        >>> spec = EvalSpec.load("cpp_default")
        >>> segments_info = [{"id": 1, "category_id": 26}, {"id": 2, "category_id": 7}]
        >>> ids = torch.tensor([[1, 2, 0]])
        >>> panoptic = PanopticSegmentation.from_segments(ids, segments_info)
        >>> merge_pps(panoptic, torch.tensor([[10, 0, 0]]), spec).tolist()   # 10 is car-wheel
        [[[26, 7, 255]], [[1, 1, 0]], [[2, 1, 0]]]
    """
    check_integer("part_seg", part_seg)
    lookups = part_lookups(spec, part_seg.device)
    return _merge(
        panoptic,
        part_seg,
        lookups.pid_of_sid_flat,
        ignore_label=spec.ignore_label,
        validate=validate,
        backend=backend,
    )


class PPSMerger(TensorHolder):
    """Module that merges a panoptic map and a part map into a PPS map.

    Made with the settings of [`merge_pps`][pps_torch.merge_pps]; the table of the spec moves with
    the module.
    """

    pid_of_sid_flat: Tensor

    def __init__(
        self, spec: EvalSpec, *, validate: bool | None = None, backend: str = "auto"
    ) -> None:
        super().__init__()
        check_backend(backend)
        self.spec = spec
        self.validate = validate
        self.backend = backend
        lookups: PartLookups = part_lookups(spec, torch.device("cpu"))
        self._hold_tables(pid_of_sid_flat=lookups.pid_of_sid_flat)
        self.ignore_label = spec.ignore_label

    def forward(self, panoptic: PanopticSegmentation, part_seg: Tensor) -> Tensor:
        """Merge one image or a batch.

        The arguments are those of [`merge_pps`][pps_torch.merge_pps].
        """
        check_integer("part_seg", part_seg)
        return _merge(
            panoptic,
            part_seg,
            self._table_on("pid_of_sid_flat", part_seg.device),
            ignore_label=self.ignore_label,
            validate=self.validate,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        return format_settings(self, "spec", "validate", "backend")


def _merge(
    panoptic: PanopticSegmentation,
    part_seg: Tensor,
    pid_of_sid_flat: Tensor,
    *,
    ignore_label: int,
    validate: bool | None,
    backend: str,
) -> Tensor:
    """Check the inputs and merge them, given the spec's table on their device."""
    _check_maps(panoptic, part_seg, reference=pid_of_sid_flat)
    panoptic_seg, category_ids = panoptic.panoptic_seg, panoptic.category_ids
    if checks_values(validate, panoptic_seg):
        _check_segment_ids(panoptic_seg, category_ids.shape[-1])
        _check_category_ids(category_ids)
    return pps_channels(
        panoptic_seg,
        part_seg,
        category_ids,
        pid_of_sid_flat,
        ignore_label=ignore_label,
        backend=backend,
    )


def _check_maps(panoptic: PanopticSegmentation, part_seg: Tensor, *, reference: Tensor) -> None:
    """Raise TypeError or ValueError unless both maps, and the table, fit each other."""
    check_container("panoptic", panoptic, PanopticSegmentation)
    check_integer("panoptic.panoptic_seg", panoptic.panoptic_seg)
    check_integer("panoptic.category_ids", panoptic.category_ids)
    check_ndim("part_seg", part_seg, 2, "(*B, H, W)")
    check_shape("panoptic.panoptic_seg", panoptic.panoptic_seg, tuple(part_seg.shape))
    check_device("part_seg", part_seg, reference)
    check_device("panoptic.panoptic_seg", panoptic.panoptic_seg, part_seg)
    check_ndim("panoptic.category_ids", panoptic.category_ids, 1, "(*B, S)")
    capacity = panoptic.category_ids.shape[-1]
    check_shape("panoptic.category_ids", panoptic.category_ids, (*part_seg.shape[:-2], capacity))
    check_device("panoptic.category_ids", panoptic.category_ids, part_seg)


def _check_segment_ids(panoptic_seg: Tensor, capacity: int) -> None:
    """Raise ValueError for segment ids that the table has no row for."""
    if panoptic_seg.numel() == 0:
        return
    lowest, highest = (value.item() for value in panoptic_seg.aminmax())
    if lowest < 0 or highest > capacity:
        raise ValueError(
            f"panoptic.panoptic_seg: expected segment ids 0..{capacity}, found {lowest}..{highest}"
        )


def _check_category_ids(category_ids: Tensor) -> None:
    """Raise ValueError for ids that an int32 PPS map cannot hold."""
    if category_ids.numel() and (highest := int(category_ids.max())) > _MAX_INT32:
        raise ValueError(f"panoptic.category_ids: expected ids below 2**31, found {highest}")
