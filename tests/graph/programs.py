"""Every merge as a module, its inputs at any sizes, and what is dynamic in its program."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.export import Dim

import pps_torch
from pps_torch import EvalSpec, PanopticSegmentation

SPEC = EvalSpec.load("cpp_default")
THRESHOLDS = {"score_threshold": 0.3, "stuff_area_limit": 9}
NUM_CLASSES, SIDE = 5, 14


class Sizes(NamedTuple):
    """Sizes of a scene: images, instances or queries, pixels."""

    batch: int
    count: int
    height: int
    width: int

    def heads(self, channels):
        """Logits at half the size, smooth enough for maps with segments."""
        coarse = torch.randn(self.batch, channels, 3, 4) * 3
        size = (-(-self.height // 2), -(-self.width // 2))
        return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")

    def labels(self, ids):
        """A map of some ids."""
        labels = torch.tensor(ids)[self.heads(len(ids)).argmax(1)]
        return self.resize(labels)

    def resize(self, labels):
        """Labels at the size of the image."""
        planes = torch.nn.functional.interpolate(labels[:, None].double(), self[2:])
        return planes[:, 0].to(labels.dtype)

    def boxes(self):
        limits = torch.tensor([self.width, self.height], dtype=torch.float)
        corners = torch.rand(self.batch, self.count, 2) * limits * 0.8
        return torch.cat([corners, corners + torch.rand(corners.shape) * limits * 0.5], 2)

    def scores(self):
        return torch.rand(self.batch, self.count)

    def classes(self, ids):
        return torch.tensor(ids)[torch.randint(len(ids), (self.batch, self.count))]


FIRST = Sizes(2, 4, 20, 30)


class OfPhoto(torch.nn.Module):
    """A merge of upsampled heads, whose size is that of the network's input."""

    def __init__(self, merge):
        super().__init__()
        self.merge = merge

    def forward(self, photo, *heads):
        return self.merge(*heads, photo.shape[-2:])


def masks(sizes):
    y, x = torch.arange(sizes.height)[:, None] + 0.5, torch.arange(sizes.width) + 0.5
    x0, y0, x1, y1 = sizes.boxes()[..., None, None].unbind(2)
    is_in = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return sizes.labels([7, 8, 23, 26]), is_in, sizes.scores(), sizes.classes([24, 26])


def boxes(sizes):
    probs = torch.rand(sizes.batch, sizes.count, SIDE, SIDE)
    return sizes.labels([7, 8, 23, 26]), probs, sizes.boxes(), sizes.scores(), sizes.classes([24])


def photo(sizes):
    return torch.zeros(sizes.batch, 3, sizes.height, sizes.width)


def queries(sizes):
    class_logits = torch.randn(sizes.batch, sizes.count, NUM_CLASSES + 1) * 4
    mask_logits = sizes.heads(max(sizes.count, 1))[:, : sizes.count]
    return photo(sizes), class_logits, mask_logits


def centers(sizes):
    offsets = sizes.heads(2)
    heat = torch.rand_like(offsets[:, :1])
    return photo(sizes), sizes.heads(max(sizes.count, 4)), heat, torch.randn_like(offsets) * 5


def parts(sizes):
    panoptic_seg = sizes.resize(sizes.heads(sizes.count + 1).argmax(1).int())
    category_ids = sizes.classes([7, 24, 26])
    rows = torch.zeros_like(category_ids)
    table = PanopticSegmentation(
        panoptic_seg, category_ids, rows > 0, rows.float(), rows, rows, rows[:, :1].sum(1)
    )
    return table, sizes.labels(list(range(24)))


def heads(sizes):
    instances = (torch.rand(sizes.batch, sizes.count, SIDE, SIDE), sizes.boxes(), sizes.scores())
    class_indices = sizes.classes(list(range(8)))
    return photo(sizes), sizes.heads(19), *instances, class_indices, sizes.heads(24)


#: Modules of the merges, and functions that draw their inputs.
MERGES = {
    "masks": (lambda: pps_torch.PanopticMerger([7, 8, 23], **THRESHOLDS), masks),
    "boxes": (lambda: pps_torch.BoxPanopticMerger([7, 8, 23], **THRESHOLDS), boxes),
    "queries": (
        lambda: OfPhoto(
            pps_torch.QueryPanopticMerger([0, 2], object_mask_threshold=0.5, min_kept_fraction=0.3)
        ),
        queries,
    ),
    "centers": (
        lambda: OfPhoto(pps_torch.CenterPanopticMerger([0, 2], stuff_area_limit=9, top_k=20)),
        centers,
    ),
    "pps": (lambda: pps_torch.PPSMerger(SPEC), parts),
    "post_processor": (lambda: OfPhoto(pps_torch.PPSPostProcessor(SPEC, **THRESHOLDS)), heads),
}


def dynamic_shapes(*examples):
    """Mark the axes in which inputs differ as dynamic."""

    def axes(*tensors):
        sizes = zip(*(tensor.shape for tensor in tensors))
        return {
            axis: Dim.STATIC if len(set(found)) == 1 else Dim.DYNAMIC
            for axis, found in enumerate(sizes)
        }

    one, *others = map(tuple, examples)
    return torch.utils._pytree.tree_map(axes, one, *others)


def export(module, *examples):
    """The program of a module for the first inputs; what differs in the others is dynamic."""
    shapes = dynamic_shapes(*examples)
    if isinstance(module, OfPhoto):
        shapes = shapes[0], shapes[1:]
    return torch.export.export(module, examples[0], dynamic_shapes=shapes, strict=False)


def export_merge(name, sizes=FIRST):
    """The program of a merge with everything dynamic that is, and the module."""
    make, draw = MERGES[name]
    module, other = make(), Sizes(*(size + 2 for size in sizes))
    return export(module, draw(sizes), draw(other)), module


def num_nodes(program):
    """The nodes of a program and of its subgraphs."""
    modules = program.graph_module.modules()
    return sum(len(part.graph.nodes) for part in modules if isinstance(part, torch.fx.GraphModule))
