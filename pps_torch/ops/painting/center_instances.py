"""Instances around their centres: which pixels each has, its class and its score."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.index_of import index_of
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.counting.pixel_runs import check_num_pixels
from pps_torch.ops.fold import first_places, fold
from pps_torch.ops.painting.contract import PROBABILITY_UNIT
from pps_torch.ops.painting.nearest_places import nearest_places
from pps_torch.ops.painting.upsample_channel import upsample_channel
from pps_torch.ops.painting.upsampled_ids import upsampled_argmax
from pps_torch.reserved import ABSENT


class CenterInstances(NamedTuple):
    """Instances, which rank in the order of their centres, as `add_stuff` takes them.

    Attributes:
        owner: `(B, H, W)` int32, rank + 1 of the instance that a pixel belongs to, 0 for none.
        keep: `(B, K)` bool, true for centres with a pixel at least.
        order: `(B, K)` int64, the ranks 0..K-1.
        scores: `(B, K)` of the dtype of the heat map: the mean probability of the class over the
            pixels, times the heat at their mean position.
        pred_classes: `(B, K)` int64, the most frequent class of a centre's pixels, the lowest of
            equally frequent ones.
        sem_seg: `(B, H, W)` int32, the class with the highest logit.
        stuff_ids: `(C - T,)` int64, the classes that are not things, in rising order.
        sources: `(B, K)` int64, the centres: pixels `y * W + x` in rising order, then H * W.
    """

    owner: Tensor
    keep: Tensor
    order: Tensor
    scores: Tensor
    pred_classes: Tensor
    sem_seg: Tensor
    stuff_ids: Tensor
    sources: Tensor


def center_instances(
    logits: Tensor,
    heatmap: Tensor,
    offsets: Tensor,
    thing_ids: Tensor,
    *,
    center_threshold: float,
    nms_kernel: int,
    top_k: int,
    backend: str = "auto",
) -> CenterInstances:
    """Find centres, and group the pixels of things around them.

    The two versions may differ where upsampled logits or distances are equal up to rounding, and
    scores differ by rounding.

    Args:
        logits: `(B, C, h, w)` float, upsampled bilinearly; NaN counts as -inf.
        heatmap: `(B, H, W)` float32 or float64, finite.
        offsets: `(B, 2, h, w)` float, y and x in pixels of H x W, upsampled; NaN counts as 0.
        thing_ids: `(T,)` int64, distinct classes 0..C-1.
        center_threshold: heat that a centre must be strictly above.
        nms_kernel: odd number of pixels around a centre of which none is higher.
        top_k: K; a centre must be strictly higher than the K-th highest.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `CenterInstances`.
    """
    check_num_pixels(heatmap.flatten(1))
    if uses_triton(backend, logits):
        from pps_torch.ops.painting.triton import center_instances as twin

        inputs = (logits, heatmap, offsets, thing_ids)
        return CenterInstances(*twin.center_instances(*inputs, center_threshold, nms_kernel, top_k))
    height, width = heatmap.shape[1:]
    classes = torch.arange(logits.shape[1], device=logits.device)
    is_thing_class = index_of(classes, thing_ids) >= 0
    num_stuff = classes.shape[0] - thing_ids.numel()
    sem_seg = upsampled_argmax(logits, (height, width))
    planes = [upsample_channel(offsets, axis, (height, width), nan=0.0) for axis in (0, 1)]
    centers, is_center = _find_centers(
        heatmap, center_threshold=center_threshold, nms_kernel=nms_kernel, top_k=top_k
    )
    is_thing = is_thing_class.index_select(0, sem_seg.flatten()).view(sem_seg.shape)
    owner = _group_pixels(torch.stack(planes), is_thing, centers, is_center)
    counts = joint_counts(
        owner.flatten(1), sem_seg.flatten(1), top_k + 1, classes.shape[0], backend="torch"
    )
    votes = counts[:, 1 : top_k + 1, : classes.shape[0]]
    pred_classes, areas = votes.argmax(2), votes.sum(2)
    scores = _instance_scores(logits, heatmap, owner, pred_classes, areas)
    return CenterInstances(
        owner=owner,
        keep=areas > 0,
        order=torch.arange(top_k, device=areas.device).expand_as(areas),
        scores=scores,
        pred_classes=pred_classes,
        sem_seg=sem_seg.to(torch.int32),
        stuff_ids=first_places(~is_thing_class)[:num_stuff],
        sources=centers,
    )


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
    peaks = F.pad(peaks, (0, top_k), value=-1.0)
    values, pixels = peaks.topk(top_k, dim=1)
    is_center = (values > 0) & (values > values[:, -1:])
    pixels = torch.where(is_center, pixels, num_pixels).sort(dim=1).values
    return pixels, pixels < num_pixels


def _group_pixels(offsets: Tensor, is_thing: Tensor, centers: Tensor, is_center: Tensor) -> Tensor:
    """Assign each thing pixel to the centre nearest to where its offset points.

    Args:
        offsets: `(2, B, H, W)` float, y and x, finite.
        is_thing: `(B, H, W)` bool.
        centers, is_center: `(B, K)`, see `_find_centers`.

    Returns:
        `(B, H, W)` int32: position in `centers` + 1, 0 for none.
    """
    height, width = is_thing.shape[1:]
    y = torch.arange(height, device=offsets.device, dtype=offsets.dtype)[:, None]
    x = torch.arange(width, device=offsets.device, dtype=offsets.dtype)
    points = torch.stack([y + offsets[0], x + offsets[1]]).flatten(2)
    rows = centers // width
    places = torch.stack([rows, centers - rows * width]).to(offsets.dtype)
    places = torch.where(is_center, places, torch.inf)
    if not is_on_host(is_thing):
        nearest = nearest_places(points, places).view(is_thing.shape) + 1
        return torch.where(is_thing & is_center[:, :1, None], nearest, 0)
    owner = is_thing.new_zeros(is_thing.shape, dtype=torch.int32)
    for image, count in enumerate(is_center.sum(1).tolist()):
        if count:
            pixels = is_thing[image].reshape(-1).nonzero()[:, 0]
            one = slice(image, image + 1)
            nearest = nearest_places(points[:, one, pixels], places[:, one, :count])
            owner[image].view(-1)[pixels] = nearest[0] + 1
    return owner


def _instance_scores(
    logits: Tensor, heatmap: Tensor, owner: Tensor, pred_classes: Tensor, areas: Tensor
) -> Tensor:
    """Score instances: mean class probability times the heat map at the mean position.

    Args:
        logits: `(B, C, h, w)` float.
        heatmap: `(B, H, W)` float.
        owner: `(B, H, W)` int32, see `CenterInstances`.
        pred_classes: `(B, K)` int64, see `CenterInstances`.
        areas: `(B, K)` int64, the pixels of each.

    Returns:
        `(B, K)` of the dtype of `heatmap`.
    """
    height, width = heatmap.shape[1:]
    owner = owner.flatten(1).long()
    no_class = pred_classes.new_full((owner.shape[0], 1), ABSENT)
    class_of_pixel = torch.cat([no_class, pred_classes], 1).gather(1, owner).view(heatmap.shape)
    probability = _class_probability(logits, class_of_pixel).flatten(1)
    row = torch.arange(height, device=owner.device)[:, None].expand(height, width)
    column = torch.arange(width, device=owner.device).expand(height, width)

    def total(values: Tensor) -> Tensor:
        sums = areas.new_zeros(owner.shape[0], areas.shape[1] + 1)
        return sums.scatter_add_(1, owner, values)[:, 1:]

    areas = areas.clamp(min=1)
    y, x = (total(place.flatten().expand_as(owner)) // areas for place in (row, column))
    class_score = total((probability * PROBABILITY_UNIT).round().long())
    class_score = class_score.double() / PROBABILITY_UNIT / areas
    return (class_score * heatmap.flatten(1).gather(1, y * width + x)).to(heatmap.dtype)


def _class_probability(logits: Tensor, class_of_pixel: Tensor) -> Tensor:
    """Compute the softmax of upsampled logits at one class a pixel, one channel at a time.

    Args:
        logits: `(B, C, h, w)` float.
        class_of_pixel: `(B, H, W)` int64, -1 for none.

    Returns:
        `(B, H, W)` float, 0 for a pixel of no class.
    """
    height, width = class_of_pixel.shape[1:]
    chosen = upsample_channel(logits, 0, (height, width))
    highest = torch.full_like(chosen, torch.finfo(chosen.dtype).min)

    def step(channel: int | Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        chosen, highest, total = state
        plane = upsample_channel(logits, channel, (height, width))
        higher = torch.maximum(highest, plane)
        total = total * (highest - higher).exp() + (plane - higher).exp()
        return torch.where(class_of_pixel == channel, plane, chosen), higher, total

    state = (chosen, highest, torch.zeros_like(chosen))
    chosen, highest, total = fold(step, state, logits.shape[1])
    return torch.where(class_of_pixel >= 0, (chosen - highest).exp() / total, 0.0)
