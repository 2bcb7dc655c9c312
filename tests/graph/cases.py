"""Every merge and count as a module and its inputs, to be traced, exported or compiled."""

from __future__ import annotations

import torch

import pps_torch
from pps_torch import EvalSpec, PanopticTarget

SPEC = EvalSpec.load("cpp_default")
SIZE = (32, 48)


class CountParts(torch.nn.Module):
    """A PartPQ update as a function of its inputs."""

    def __init__(self, backend="auto"):
        super().__init__()
        self.metric = pps_torch.PartPanopticQuality(SPEC, capacity=64, backend=backend)

    def forward(self, pps, gt_uids):
        self.metric.reset()
        return self.metric.update(pps, gt_uids).class_sums.clone()


class CountSegments(torch.nn.Module):
    """A PQ update as a function of its inputs."""

    def __init__(self, backend="auto"):
        super().__init__()
        self.metric = pps_torch.PanopticQuality(SPEC, backend=backend)

    def forward(self, pred, target):
        self.metric.reset()
        return self.metric.update(pred, target).class_sums.clone()


class Count(torch.nn.Module):
    """An update of any metric as a function of its inputs, which returns the states."""

    def __init__(self, metric):
        super().__init__()
        self.metric = metric
        self.states = tuple(metric.state_dict())

    def forward(self, *inputs):
        self.metric.reset()
        self.metric.update(*inputs)
        return tuple(getattr(self.metric, state).clone() for state in self.states)


class MergeQueries(pps_torch.QueryPanopticMerger):
    """The query merger with upsampling."""

    def forward(self, class_logits, mask_logits):
        return super().forward(class_logits, mask_logits, SIZE)


class MergeCenters(pps_torch.CenterPanopticMerger):
    """The centre merger with upsampling."""

    def forward(self, sem_seg_logits, center_heatmap, offsets):
        return super().forward(sem_seg_logits, center_heatmap, offsets, SIZE)


class PostProcess(pps_torch.PPSPostProcessor):
    """The post-processor for images of one size."""

    def forward(self, *heads):
        return super().forward(*heads, SIZE)


def _instances(device, num=3):
    scores = torch.rand(2, num, device=device)
    return scores, torch.randint(24, 29, (2, num), device=device)


def _sem_seg(device):
    return torch.randint(7, 34, (2, *SIZE), device=device)


def _boxes(device, num=3):
    corners = torch.rand(2, num, 2, device=device) * 40
    return torch.cat([corners, corners + 24], 2)


def _panoptic(device):
    masks = torch.rand(2, 3, *SIZE, device=device) > 0.7
    merger = pps_torch.PanopticMerger(SPEC.stuff, stuff_area_limit=4).to(device)
    return merger(_sem_seg(device), masks, *_instances(device))


def merge_masks(device):
    masks = torch.rand(2, 3, *SIZE, device=device) > 0.7
    inputs = (_sem_seg(device), masks, *_instances(device))
    return pps_torch.PanopticMerger(SPEC.stuff, stuff_area_limit=4), inputs


def merge_boxes(device):
    probs = torch.rand(2, 3, 28, 28, device=device)
    inputs = (_sem_seg(device), probs, _boxes(device), *_instances(device))
    settings = {"stuff_area_limit": 4, "category_ids": range(100, 134)}
    return pps_torch.BoxPanopticMerger(SPEC.stuff, **settings), inputs


def merge_queries(device):
    inputs = (torch.rand(2, 5, 20, device=device) * 9, torch.randn(2, 5, 8, 12, device=device))
    settings = {"object_mask_threshold": 0.2, "min_kept_fraction": 0.1}
    return MergeQueries([0, 1, 2], category_ids=range(100, 119), **settings), inputs


def merge_centers(device):
    inputs = (
        torch.randn(2, 3, 16, 24, device=device),
        torch.rand(2, 1, 16, 24, device=device),
        torch.randn(2, 2, 16, 24, device=device) * 9,
    )
    return MergeCenters([0, 2], nms_kernel=3, top_k=9, stuff_area_limit=4), inputs


def merge_pps(device):
    return pps_torch.PPSMerger(SPEC), (_panoptic(device), _sem_seg(device))


def post_process(device):
    heads = (
        torch.randn(2, 19, 16, 24, device=device),
        torch.rand(2, 3, 28, 28, device=device),
        _boxes(device),
        torch.rand(2, 3, device=device),
        torch.randint(8, (2, 3), device=device),
        torch.randn(2, 24, 16, 24, device=device),
    )
    return PostProcess(SPEC, stuff_area_limit=4), heads


def count_segments(device, backend="auto"):
    pred, target = _panoptic(device), _panoptic(device)
    is_crowd = target.is_thing & (target.areas % 3 == 0)
    target = PanopticTarget(target.panoptic_seg, target.category_ids, is_crowd, target.num_segments)
    return CountSegments(backend), (pred, target)


def count_segments_with_torch(device):
    return count_segments(device, "torch")


def count_segments_with_triton(device):
    return count_segments(device, "triton")


def count_parts(device, backend="auto"):
    pps = pps_torch.PPSMerger(SPEC).to(device)(_panoptic(device), _sem_seg(device) % 24)
    sids, iids = _sem_seg(device), torch.randint(0, 3, (2, *SIZE), device=device)
    return CountParts(backend), (pps, (sids * 1000 + iids) * 100 + iids)


def count_parts_with_torch(device):
    return count_parts(device, "torch")


def count_parts_with_triton(device):
    return count_parts(device, "triton")


def count_by_rules_of_torchmetrics(device):
    """PQ-dagger, where stuff merges and predicted void is forgiven."""
    _, inputs = count_segments(device)
    return Count(pps_torch.ModifiedPanopticQuality(SPEC, rules="torchmetrics")), inputs


def count_by_rules_of_deeplab2(device):
    _, inputs = count_segments(device)
    return Count(pps_torch.PanopticQuality(SPEC, rules="deeplab2")), inputs


def count_boundaries(device):
    _, inputs = count_segments(device)
    return Count(pps_torch.BoundaryPanopticQuality(SPEC)), inputs


def count_classes(device):
    return Count(pps_torch.MeanIoU(SPEC)), (_sem_seg(device), _sem_seg(device))


def count_part_labels(device):
    _, inputs = count_parts(device)
    return Count(pps_torch.PartIoU(SPEC)), inputs


def with_backend(case, backend):
    """A merge with another backend than its default."""

    def changed(device):
        module, inputs = case(device)
        for part in module.modules():
            if hasattr(part, "backend"):
                part.backend = backend
        return module, inputs

    changed.__name__ = f"{case.__name__}_with_{backend}"
    return changed


MERGES = [merge_masks, merge_boxes, merge_queries, merge_pps, post_process]
COUNTS = [
    count_by_rules_of_torchmetrics,
    count_by_rules_of_deeplab2,
    count_boundaries,
    count_classes,
    count_part_labels,
]
CASES = [
    *(with_backend(case, "torch") for case in MERGES),
    merge_masks,
    merge_boxes,
    merge_queries,
    merge_centers,
    merge_pps,
    post_process,
    count_segments,
    count_segments_with_torch,
    count_parts,
    count_parts_with_torch,
    *COUNTS,
    *(with_backend(case, "torch") for case in COUNTS),
]


def tensors(value):
    """The tensors of nested tuples, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors(item)]


def assert_same(found, expected):
    """Integers bit by bit; scores, which compiled code may round otherwise, to float32."""
    for one, other in zip(tensors(found), tensors(expected), strict=True):
        if one.is_floating_point():
            torch.testing.assert_close(one.cpu(), other.cpu())
        else:
            assert torch.equal(one.cpu(), other.cpu())
