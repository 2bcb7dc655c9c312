"""The merge of centres, offsets to them and semantic logits, as Panoptic-DeepLab does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_int,
    check_ndim,
    check_not_empty,
    check_number,
    check_shape,
    check_size,
    checks_values,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.category_ids import as_category_ids, as_id_tensor, with_category_ids
from pps_torch.merging.module_repr import format_settings
from pps_torch.ops.backend import check_backend
from pps_torch.ops.painting.add_stuff import add_stuff
from pps_torch.ops.painting.batch_dims import flatten_batch, unflatten_batch
from pps_torch.ops.painting.center_instances import center_instances
from pps_torch.ops.painting.contract import INFINITE
from pps_torch.ops.painting.upsample_channel import at_least_float32, upsample_planes


@torch.no_grad()
def merge_panoptic_centers(
    sem_seg_logits: Tensor,
    center_heatmap: Tensor,
    offsets: Tensor,
    *,
    thing_ids: Sequence[int] | Tensor,
    center_threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
    stuff_area_limit: float = 2048,
    out_size: tuple[int, int] | None = None,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Group the pixels of things around instance centres, and add stuff.

    The rule is that of Panoptic-DeepLab (arXiv 1911.10194) as Detectron2's project has it. The
    highest semantic channel is the class of a pixel. A centre is a pixel of the heat map above
    `center_threshold` that no pixel of the `nms_kernel` window around it exceeds, and that lies
    strictly above the `top_k`-th highest of such pixels. A thing pixel belongs to the centre
    nearest to where its offset points, the first of equally near ones. The class of an instance is
    the most frequent class of its pixels, the lowest of equally frequent ones. Without any centre
    the pixels of things are void.

    Distances are compared as float32 squares. Detectron2 compares their roots, rounded as the
    device rounds them; that can differ only where two distances agree in seven digits.

    Args:
        sem_seg_logits: `(*B, C, h, w)` float; channels are class indices.
        center_heatmap: `(*B, 1, h, w)` float, 0..1.
        offsets: `(*B, 2, h, w)` float: y and x, from the pixel to its centre, in pixels of the
            result.
        thing_ids: class indices 0..C-1 of things, as ints or a tensor; the others are stuff.
        center_threshold: a centre must be strictly above it, and above 0.
        nms_kernel: odd number of pixels.
        top_k: an image has at most `top_k - 1` centres, since each is strictly higher than the
            `top_k`-th highest candidate; candidates as high as that one are no centres.
        stuff_area_limit: pixels that a stuff segment needs at least.
        out_size: `(H, W)`: upsample all three bilinearly (align_corners=False), the logits one
            channel at a time; the values of the offsets stay. Default: the inputs' size.
        category_ids: the category id of each class index; then the result has category ids.
        validate: refuse NaN, and a tensor `thing_ids` with wrong indices. Default: on the CPU only;
            unchecked, a NaN logit counts as -inf, NaN of the other heads as 0.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. The two versions may differ
            where upsampled logits, or distances, are equal up to rounding; scores differ by it.

    Returns:
        `PanopticSegmentation` with a capacity of top_k + C - len(thing_ids) segments:
        instances in the order of their centres, row by row from the top left (Detectron2 counts
        the instances of a class in that order), then stuff by class index. `source` is the
        centre's pixel `y * W + x`; an instance's score is its mean probability of its class times
        the heat map at its mean position; `category_ids` are class indices, unless the argument of
        that name says what they mean.

    Raises:
        TypeError, ValueError: for a wrong dtype, shape or setting, naming the argument.

    Example:
        >>> import torch
        >>> sem_seg_logits = torch.tensor([[[5.0, 5.0, -5.0]], [[0.0, 0.0, 0.0]]])  # car, road
        >>> center_heatmap, offsets = torch.tensor([[[0.9, 0.0, 0.0]]]), torch.zeros(2, 1, 3)
        >>> merge_panoptic_centers(
        ...     sem_seg_logits, center_heatmap, offsets, thing_ids=[0], stuff_area_limit=1
        ... ).panoptic_seg
        tensor([[1, 1, 2]], dtype=torch.int32)
    """
    _check_settings(center_threshold, nms_kernel, top_k, stuff_area_limit)
    _check_heads(sem_seg_logits, center_heatmap, offsets, validate=validate)
    batch, num_classes = tuple(sem_seg_logits.shape[:-3]), sem_seg_logits.shape[-3]
    thing_ids = as_id_tensor(
        "thing_ids",
        thing_ids,
        sem_seg_logits.device,
        num_classes=num_classes,
        validate=validate,
    )
    category_ids = as_category_ids(
        category_ids, sem_seg_logits.device, num_classes=num_classes, validate=validate
    )
    if out_size is not None:
        check_size("out_size", out_size)

    height, width = sem_seg_logits.shape[-2:] if out_size is None else out_size
    found = center_instances(
        flatten_batch(sem_seg_logits, 3),
        _upsample_heat(flatten_batch(center_heatmap, 3), (height, width)),
        flatten_batch(offsets, 3),
        thing_ids,
        center_threshold=center_threshold,
        nms_kernel=nms_kernel,
        top_k=top_k,
        backend=backend,
    )
    *inputs, sources = found
    merged = add_stuff(*inputs, sources=sources, stuff_area_limit=stuff_area_limit, backend=backend)
    return unflatten_batch(with_category_ids(merged, category_ids), batch)


class CenterPanopticMerger(TensorHolder):
    """Module that merges centres, offsets to them and semantic logits into a panoptic map.

    Made with the settings of [`merge_panoptic_centers`][pps_torch.merge_panoptic_centers];
    `thing_ids` and `category_ids` move with the module.
    """

    thing_ids: Tensor
    category_ids: Tensor | None

    def __init__(
        self,
        thing_ids: Sequence[int],
        *,
        center_threshold: float = 0.1,
        nms_kernel: int = 7,
        top_k: int = 200,
        stuff_area_limit: float = 2048,
        category_ids: Sequence[int] | None = None,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        _check_settings(center_threshold, nms_kernel, top_k, stuff_area_limit)
        check_backend(backend)
        cpu = torch.device("cpu")
        self._hold_tables(
            thing_ids=as_id_tensor("thing_ids", thing_ids, cpu),
            category_ids=as_category_ids(category_ids, cpu),
        )
        self.center_threshold = center_threshold
        self.nms_kernel = nms_kernel
        self.top_k = top_k
        self.stuff_area_limit = stuff_area_limit
        self.validate = validate
        self.backend = backend

    def forward(
        self,
        sem_seg_logits: Tensor,
        center_heatmap: Tensor,
        offsets: Tensor,
        out_size: tuple[int, int] | None = None,
    ) -> PanopticSegmentation:
        """Merge one image or a batch.

        The arguments are those of [`merge_panoptic_centers`][pps_torch.merge_panoptic_centers].
        """
        return merge_panoptic_centers(
            sem_seg_logits,
            center_heatmap,
            offsets,
            thing_ids=self.thing_ids,
            center_threshold=self.center_threshold,
            nms_kernel=self.nms_kernel,
            top_k=self.top_k,
            stuff_area_limit=self.stuff_area_limit,
            out_size=out_size,
            category_ids=self.category_ids,
            validate=self.validate,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        peaks = ("center_threshold", "nms_kernel", "top_k")
        rest = ("stuff_area_limit", "category_ids", "validate", "backend")
        return format_settings(self, "thing_ids", *peaks, *rest)


def _check_settings(
    center_threshold: float, nms_kernel: int, top_k: int, stuff_area_limit: float
) -> None:
    """Raise TypeError or ValueError for settings that mean nothing."""
    check_number("center_threshold", center_threshold)
    check_number("stuff_area_limit", stuff_area_limit)
    check_int("nms_kernel", nms_kernel, 1)
    if nms_kernel % 2 == 0:
        raise ValueError(f"nms_kernel: expected an odd number of pixels, found {nms_kernel}")
    check_int("top_k", top_k, 1)


def _check_heads(
    sem_seg_logits: Tensor, center_heatmap: Tensor, offsets: Tensor, *, validate: bool | None
) -> None:
    """Raise TypeError or ValueError for heads of a wrong dtype, device or shape, and for NaN."""
    heads = {
        "sem_seg_logits": sem_seg_logits,
        "center_heatmap": center_heatmap,
        "offsets": offsets,
    }
    for name, value in heads.items():
        check_floating(name, value)
        check_device(name, value, sem_seg_logits)
    check_ndim("sem_seg_logits", sem_seg_logits, 3, "(*B, C, h, w)")
    *batch, _, height, width = sem_seg_logits.shape
    check_shape("center_heatmap", center_heatmap, (*batch, 1, height, width))
    check_shape("offsets", offsets, (*batch, 2, height, width))
    check_not_empty("sem_seg_logits", sem_seg_logits, 3, "a class and a pixel")
    if not checks_values(validate, sem_seg_logits):
        return
    for name, value in heads.items():
        if bool(value.isnan().any()):
            raise ValueError(f"{name}: expected numbers, found {int(value.isnan().sum())} NaN")


def _upsample_heat(center_heatmap: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample `(B, 1, h, w)` heat to `(B, H, W)`; NaN and -inf are no heat."""
    heat = at_least_float32(center_heatmap).nan_to_num(nan=0.0, posinf=INFINITE, neginf=0.0)
    return upsample_planes(heat, size)[:, 0]
