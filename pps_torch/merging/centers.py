"""The merge of centres, offsets to them and semantic logits, as Panoptic-DeepLab does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import (
    check_device,
    check_floating,
    check_int,
    check_ndim,
    check_number,
    check_shape,
    check_size,
    checks_values,
    is_on_host,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.category_ids import as_id_tensor
from pps_torch.merging.module_repr import format_settings
from pps_torch.merging.segment_table import unflatten_batch
from pps_torch.ops.backend import check_backend
from pps_torch.ops.counting.index_of import index_of
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.painting.add_stuff import add_stuff
from pps_torch.ops.painting.nearest_places import nearest_places
from pps_torch.ops.painting.upsample_channel import upsample_channel
from pps_torch.ops.painting.upsampled_ids import upsampled_ids
from pps_torch.reserved import ABSENT

# Probabilities are summed as integers, so that the order of the pixels cannot matter.
_PROBABILITY_UNIT = 1 << 30


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
        validate: refuse NaN, and a tensor `thing_ids` with wrong indices. Default: on the CPU.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton], for the steps
            that have a Triton version. The two may differ where upsampled logits are equal up to
            rounding.

    Returns:
        `PanopticSegmentation` with a capacity of top_k + C - len(thing_ids) segments:
        instances in the order of their centres, row by row from the top left (Detectron2 counts
        the instances of a class in that order), then stuff by class index. `source` is the
        centre's pixel `y * W + x`; an instance's score is its mean probability of its class times
        the heat map at its mean position; `category_ids` are class indices.

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
    if out_size is not None:
        check_size("out_size", out_size)

    height, width = sem_seg_logits.shape[-2:] if out_size is None else out_size
    size = (height, width)
    logits = _flatten_batch(sem_seg_logits)
    heatmap = upsample_channel(_flatten_batch(center_heatmap), 0, size)
    offsets = _flatten_batch(offsets)
    offset_planes = torch.stack([upsample_channel(offsets, axis, size) for axis in (0, 1)])
    classes = torch.arange(num_classes, device=logits.device, dtype=torch.int32)
    is_thing_class = index_of(classes, thing_ids) >= 0
    stuff_ids = is_thing_class.long().argsort(stable=True)[: num_classes - thing_ids.numel()]

    sem_seg = upsampled_ids(logits, classes, size, backend=backend)
    centers, is_center = _find_centers(
        heatmap, center_threshold=center_threshold, nms_kernel=nms_kernel, top_k=top_k
    )
    owner = _group_pixels(
        offset_planes, is_thing_class[sem_seg], centers, is_center, backend=backend
    )
    pred_classes, areas = _vote_classes(
        owner, sem_seg, num_centers=top_k, num_classes=num_classes, backend=backend
    )
    scores = _instance_scores(logits, heatmap, owner, pred_classes, areas)
    merged = add_stuff(
        owner,
        areas > 0,
        torch.arange(top_k, device=owner.device).expand_as(areas),
        scores,
        pred_classes,
        sem_seg,
        stuff_ids,
        sources=centers,
        stuff_area_limit=stuff_area_limit,
        backend=backend,
    )
    return unflatten_batch(merged, batch)


class CenterPanopticMerger(TensorHolder):
    """Module that merges centres, offsets to them and semantic logits into a panoptic map.

    Made with the settings of [`merge_panoptic_centers`][pps_torch.merge_panoptic_centers];
    `thing_ids` move with the module.
    """

    thing_ids: Tensor

    def __init__(
        self,
        thing_ids: Sequence[int],
        *,
        center_threshold: float = 0.1,
        nms_kernel: int = 7,
        top_k: int = 200,
        stuff_area_limit: float = 2048,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        _check_settings(center_threshold, nms_kernel, top_k, stuff_area_limit)
        check_backend(backend)
        self._hold_tables(thing_ids=as_id_tensor("thing_ids", thing_ids, torch.device("cpu")))
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
            validate=self.validate,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        peaks = ("center_threshold", "nms_kernel", "top_k")
        rest = ("stuff_area_limit", "validate", "backend")
        return format_settings(self, "thing_ids", *peaks, *rest)


def _check_settings(
    center_threshold: float, nms_kernel: int, top_k: int, stuff_area_limit: float
) -> None:
    """Raise TypeError or ValueError for settings that mean nothing."""
    check_number("center_threshold", center_threshold)
    check_number("stuff_area_limit", stuff_area_limit)
    check_int("nms_kernel", nms_kernel, 1)
    if nms_kernel % 2 == 0:
        raise ValueError(f"nms_kernel: expected an odd number of pixels, got {nms_kernel}")
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
    *batch, num_classes, height, width = sem_seg_logits.shape
    check_shape("center_heatmap", center_heatmap, (*batch, 1, height, width))
    check_shape("offsets", offsets, (*batch, 2, height, width))
    if 0 in (num_classes, height, width):
        raise ValueError(
            "sem_seg_logits: expected a class and a pixel at least, got shape "
            f"{tuple(sem_seg_logits.shape)}"
        )
    if not checks_values(validate, sem_seg_logits):
        return
    for name, value in heads.items():
        if bool(value.isnan().any()):
            raise ValueError(f"{name}: expected numbers, found {int(value.isnan().sum())} NaN")


def _flatten_batch(values: Tensor) -> Tensor:
    """Flatten the batch dimensions: `(*B, C, h, w)` to `(B, C, h, w)`."""
    return values.reshape(values.shape[:-3].numel(), *values.shape[-3:])


def _find_centers(
    heatmap: Tensor, *, center_threshold: float, nms_kernel: int, top_k: int
) -> tuple[Tensor, Tensor]:
    """Find the highest local maxima of heat maps `(B, H, W)`.

    Returns:
        `centers (B, top_k)` int64, pixels `y * W + x` in rising order, and `is_center (B,
        top_k)` bool, false at the end of the list where there are fewer.
    """
    highest = F.max_pool2d(heatmap[:, None], nms_kernel, stride=1, padding=nms_kernel // 2)[:, 0]
    is_peak = (heatmap > center_threshold) & (heatmap > 0) & (heatmap == highest)
    peaks = torch.where(is_peak, heatmap, -1.0).flatten(1)
    num_pixels = peaks.shape[1]
    peaks = F.pad(peaks, (0, max(top_k - num_pixels, 0)), value=-1.0)
    values, pixels = peaks.topk(top_k, dim=1)
    is_center = (values > 0) & (values > values[:, -1:])
    pixels = torch.where(is_center, pixels, num_pixels).sort(dim=1).values
    return pixels, pixels < num_pixels


def _group_pixels(
    offsets: Tensor, is_thing: Tensor, centers: Tensor, is_center: Tensor, *, backend: str
) -> Tensor:
    """Assign each thing pixel to the centre nearest to where its offset points.

    Args:
        offsets: `(2, B, H, W)` float, y and x.
        is_thing: `(B, H, W)` bool.
        centers, is_center: `(B, K)`, see `_find_centers`.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(B, H, W)` int32: position in `centers` + 1, 0 for none.
    """
    height, width = is_thing.shape[1:]
    y = torch.arange(height, device=offsets.device, dtype=offsets.dtype)[:, None]
    x = torch.arange(width, device=offsets.device, dtype=offsets.dtype)
    points = torch.stack([y + offsets[0], x + offsets[1]]).flatten(2).nan_to_num()
    places = torch.stack([centers // width, centers % width]).to(offsets.dtype)
    places = torch.where(is_center, places, torch.inf)
    if not is_on_host(is_thing):
        nearest = nearest_places(points, places, backend=backend).view(is_thing.shape) + 1
        return torch.where(is_thing & is_center[:, :1, None], nearest, 0)
    owner = torch.zeros_like(is_thing, dtype=torch.int32)
    for image, count in enumerate(is_center.sum(1).tolist()):
        if count:
            pixels = is_thing[image].view(-1).nonzero()[:, 0]
            one = slice(image, image + 1)
            nearest = nearest_places(
                points[:, one, pixels], places[:, one, :count], backend=backend
            )
            owner[image].view(-1)[pixels] = nearest[0] + 1
    return owner


def _vote_classes(
    owner: Tensor, sem_seg: Tensor, *, num_centers: int, num_classes: int, backend: str
) -> tuple[Tensor, Tensor]:
    """Find the most frequent class among the pixels of each centre, and count them.

    Args:
        owner: `(B, H, W)` int32, see `_group_pixels`.
        sem_seg: `(B, H, W)` int32, class indices.
        num_centers: K.
        num_classes: C.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        the classes and the areas, both `(B, K)` int64.
    """
    maps = owner.flatten(1), sem_seg.flatten(1)
    counts = joint_counts(*maps, num_centers + 1, num_classes, backend=backend)
    counts = counts[:, 1 : num_centers + 1, :num_classes]
    return counts.argmax(2), counts.sum(2)


def _instance_scores(
    logits: Tensor, heatmap: Tensor, owner: Tensor, pred_classes: Tensor, areas: Tensor
) -> Tensor:
    """Score instances: mean class probability times the heat map at the mean position.

    Args:
        logits: `(B, C, h, w)` float.
        heatmap: `(B, H, W)` float.
        owner: `(B, H, W)` int32, see `_group_pixels`.
        pred_classes, areas: `(B, K)` int64, see `_vote_classes`.

    Returns:
        `(B, K)` of the dtype of `heatmap`.
    """
    height, width = heatmap.shape[1:]
    owner = owner.flatten(1).long()
    no_class = pred_classes.new_full((len(owner), 1), ABSENT)
    class_of_pixel = torch.cat([no_class, pred_classes], 1).gather(1, owner).view(heatmap.shape)
    probability = _class_probability(logits, class_of_pixel).flatten(1)
    pixel = torch.arange(height * width, device=owner.device).expand_as(owner)

    def total(values: Tensor) -> Tensor:
        sums = areas.new_zeros(len(owner), areas.shape[1] + 1)
        return sums.scatter_add_(1, owner, values)[:, 1:]

    areas = areas.clamp(min=1)
    y, x = total(pixel // width) // areas, total(pixel % width) // areas
    class_score = total((probability * _PROBABILITY_UNIT).round().long())
    class_score = class_score.double() / _PROBABILITY_UNIT / areas
    return (class_score * heatmap.flatten(1).gather(1, y * width + x)).to(heatmap.dtype)


def _class_probability(logits: Tensor, class_of_pixel: Tensor) -> Tensor:
    """Compute the softmax of upsampled logits at one class a pixel, one channel at a time.

    Args:
        logits: `(B, C, h, w)` float.
        class_of_pixel: `(B, H, W)` int64, -1 for none.

    Returns:
        `(B, H, W)` float, 0 for a pixel of no class.
    """
    size = class_of_pixel.shape[1], class_of_pixel.shape[2]
    chosen = upsample_channel(logits, 0, size)
    highest = torch.full_like(chosen, torch.finfo(chosen.dtype).min)
    total = torch.zeros_like(chosen)
    for channel in range(logits.shape[1]):
        plane = upsample_channel(logits, channel, size)
        higher = torch.maximum(highest, plane)
        total = total * (highest - higher).exp() + (plane - higher).exp()
        highest = higher
        chosen = torch.where(class_of_pixel == channel, plane, chosen)
    return torch.where(class_of_pixel >= 0, (chosen - highest).exp() / total, 0.0)
