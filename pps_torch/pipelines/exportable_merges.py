"""The merges that can be exported: a module for a spec, its inputs, and random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from pps_torch.formats import PanopticSegmentation
from pps_torch.merging import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    PanopticMerger,
    PPSPostProcessor,
    QueryPanopticMerger,
)
from pps_torch.specs import EvalSpec

_STRIDE = 4
_MASK_SIDE = 28
# In ONNX an output has another name than each input.
_OUTPUTS = tuple(
    "segment_scores" if name == "scores" else name for name in PanopticSegmentation._fields
)


class ExampleSizes(NamedTuple):
    """Sizes of random heads: images, instances or queries, pixels of the image."""

    batch: int
    instances: int
    height: int
    width: int

    def logits(self, channels: int) -> Tensor:
        """Logits `(B, channels, h, w)`, smooth enough for maps with segments."""
        coarse = torch.randn(self.batch, channels, 4, 8) * 3
        size = (-(-self.height // _STRIDE), -(-self.width // _STRIDE))
        return F.interpolate(coarse, size=size, mode="bilinear")

    def heat(self) -> Tensor:
        """A heat map `(B, 1, h, w)` whose peaks no rounding moves: none is flat, as at an edge."""
        heat = torch.rand(self.batch, 1, -(-self.height // _STRIDE), -(-self.width // _STRIDE))
        heat[:, :, [0, -1]] = 0
        heat[:, :, :, [0, -1]] = 0
        return heat

    def sem_seg(self, ids: tuple[int, ...]) -> Tensor:
        """A map `(B, H, W)` int64 of some ids."""
        logits = F.interpolate(self.logits(len(ids)), size=(self.height, self.width))
        return torch.tensor(ids)[logits.argmax(1)]

    def boxes(self) -> Tensor:
        """Boxes `(B, N, 4)` in the image, most of them small."""
        limits = torch.tensor([self.width, self.height], dtype=torch.float)
        corners = torch.rand(self.batch, self.instances, 2) * limits
        extents = torch.rand(corners.shape).square() * limits / 3 + 1
        return torch.cat([corners, torch.minimum(corners + extents, limits)], 2)

    def mask_probs(self) -> Tensor:
        """Masks `(B, N, M, M)` in the frames of their boxes."""
        coarse = torch.rand(self.batch, self.instances, 4, 4)
        return F.interpolate(coarse, size=(_MASK_SIDE, _MASK_SIDE), mode="bilinear")

    def masks(self) -> Tensor:
        """Masks `(B, N, H, W)` bool: rectangles."""
        y, x = torch.arange(self.height)[:, None], torch.arange(self.width)
        x0, y0, x1, y1 = self.boxes()[..., None, None].unbind(2)
        return (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)

    def scores(self) -> Tensor:
        """Scores `(B, N)` in 0..1."""
        return torch.rand(self.batch, self.instances)

    def chosen(self, ids: tuple[int, ...]) -> Tensor:
        """An id for each instance, `(B, N)` int64."""
        return torch.tensor(ids)[torch.randint(len(ids), (self.batch, self.instances))]


class ExportedMerge(NamedTuple):
    """A merge as a module of tensors, so that its program needs no class of this package.

    Attributes:
        module: the module; it takes tensors and returns a tuple of them.
        inputs: the layout of each input, by its name: a size is a number, or a name if it may
            differ from call to call.
        outputs: the names of the tensors that it returns, in order.
        draw: makes random inputs.
    """

    module: nn.Module
    inputs: Mapping[str, tuple[str | int, ...]]
    outputs: tuple[str, ...]
    draw: Callable[[ExampleSizes], tuple[Tensor, ...]]

    def with_sizes(self, **sizes: int | None) -> ExportedMerge:
        """The same with sizes of one number each, by their names; None leaves a size free."""
        numbers = {name: number for name, number in sizes.items() if number is not None}
        inputs = {
            name: tuple(numbers.get(str(size), size) for size in layout)
            for name, layout in self.inputs.items()
        }
        return self._replace(inputs=inputs)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """The sizes that may differ, as `torch.export` takes them."""
        return tuple(
            {
                axis: Dim.DYNAMIC if isinstance(size, str) else Dim.STATIC
                for axis, size in enumerate(layout)
            }
            for layout in self.inputs.values()
        )


class _Heads(PPSPostProcessor):
    """The post-processor for images of one size."""

    def __init__(self, spec: EvalSpec, size: tuple[int, int]) -> None:
        super().__init__(spec)
        self.size = size

    def forward(  # type: ignore[override]
        self,
        sem_seg_logits: Tensor,
        mask_probs: Tensor,
        boxes: Tensor,
        scores: Tensor,
        class_indices: Tensor,
        part_logits: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        instances = (mask_probs, boxes, scores, class_indices)
        panoptic, pps = super().forward(sem_seg_logits, *instances, part_logits, self.size)
        return tuple(panoptic) if pps is None else (*panoptic, pps)


class _Masks(PanopticMerger):
    """The merge of masks of the size of the image."""

    def forward(  # type: ignore[override]
        self, sem_seg: Tensor, pred_masks: Tensor, scores: Tensor, pred_classes: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(super().forward(sem_seg, pred_masks, scores, pred_classes))


class _Boxes(BoxPanopticMerger):
    """The merge of masks in boxes."""

    def forward(  # type: ignore[override]
        self,
        sem_seg: Tensor,
        mask_probs: Tensor,
        boxes: Tensor,
        scores: Tensor,
        pred_classes: Tensor,
    ) -> tuple[Tensor, ...]:
        return tuple(super().forward(sem_seg, mask_probs, boxes, scores, pred_classes))


class _Queries(QueryPanopticMerger):
    """The merge of queries for images of one size."""

    def __init__(self, spec: EvalSpec, size: tuple[int, int]) -> None:
        super().__init__(_thing_indices(spec), category_ids=spec.eval_sids)
        self.size = size

    def forward(  # type: ignore[override]
        self, class_logits: Tensor, mask_logits: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(super().forward(class_logits, mask_logits, self.size))


class _Centers(CenterPanopticMerger):
    """The merge of centres for images of one size."""

    def __init__(self, spec: EvalSpec, size: tuple[int, int]) -> None:
        super().__init__(_thing_indices(spec), category_ids=spec.eval_sids)
        self.size = size

    def forward(  # type: ignore[override]
        self, sem_seg_logits: Tensor, center_heatmap: Tensor, offsets: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(super().forward(sem_seg_logits, center_heatmap, offsets, self.size))


def _thing_indices(spec: EvalSpec) -> list[int]:
    """The classes that are things, as indices of the channels in the order of `eval_sids`."""
    return [index for index, sid in enumerate(spec.eval_sids) if sid in spec.things]


def _heads(spec: EvalSpec, size: tuple[int, int]) -> ExportedMerge:
    """The merge of all heads; without part logits for a spec without parts."""
    module = _Heads(spec, size)
    num_classes, num_parts = len(module.semantic_ids), len(module.part_ids)
    class_indices, has_parts = tuple(range(len(spec.things))), num_parts > 1
    inputs: dict[str, tuple[str | int, ...]] = {
        "sem_seg_logits": ("batch", num_classes, "h", "w"),
        "mask_probs": ("batch", "instances", _MASK_SIDE, _MASK_SIDE),
        "boxes": ("batch", "instances", 4),
        "scores": ("batch", "instances"),
        "class_indices": ("batch", "instances"),
    }
    if has_parts:
        inputs["part_logits"] = ("batch", num_parts, "h", "w")

    def draw(sizes: ExampleSizes) -> tuple[Tensor, ...]:
        heads = (
            sizes.logits(num_classes),
            sizes.mask_probs(),
            sizes.boxes(),
            sizes.scores(),
            sizes.chosen(class_indices),
        )
        return (*heads, sizes.logits(num_parts)) if has_parts else heads

    outputs = (*_OUTPUTS, *(["pps"] if has_parts else []))
    return ExportedMerge(module, inputs, outputs, draw)


def _masks(spec: EvalSpec, size: tuple[int, int]) -> ExportedMerge:
    return ExportedMerge(
        _Masks(spec.stuff),
        {
            "sem_seg": ("batch", *size),
            "pred_masks": ("batch", "instances", *size),
            "scores": ("batch", "instances"),
            "pred_classes": ("batch", "instances"),
        },
        _OUTPUTS,
        lambda sizes: (
            sizes.sem_seg(spec.eval_sids),
            sizes.masks(),
            sizes.scores(),
            sizes.chosen(spec.things),
        ),
    )


def _boxes(spec: EvalSpec, size: tuple[int, int]) -> ExportedMerge:
    return ExportedMerge(
        _Boxes(spec.stuff),
        {
            "sem_seg": ("batch", *size),
            "mask_probs": ("batch", "instances", _MASK_SIDE, _MASK_SIDE),
            "boxes": ("batch", "instances", 4),
            "scores": ("batch", "instances"),
            "pred_classes": ("batch", "instances"),
        },
        _OUTPUTS,
        lambda sizes: (
            sizes.sem_seg(spec.eval_sids),
            sizes.mask_probs(),
            sizes.boxes(),
            sizes.scores(),
            sizes.chosen(spec.things),
        ),
    )


def _queries(spec: EvalSpec, size: tuple[int, int]) -> ExportedMerge:
    num_labels = len(spec.eval_sids) + 1
    return ExportedMerge(
        _Queries(spec, size),
        {
            "class_logits": ("batch", "instances", num_labels),
            "mask_logits": ("batch", "instances", "h", "w"),
        },
        _OUTPUTS,
        lambda sizes: (
            torch.randn(sizes.batch, sizes.instances, num_labels) * 6,
            sizes.logits(sizes.instances),
        ),
    )


def _centers(spec: EvalSpec, size: tuple[int, int]) -> ExportedMerge:
    num_classes = len(spec.eval_sids)
    return ExportedMerge(
        _Centers(spec, size),
        {
            "sem_seg_logits": ("batch", num_classes, "h", "w"),
            "center_heatmap": ("batch", 1, "h", "w"),
            "offsets": ("batch", 2, "h", "w"),
        },
        _OUTPUTS,
        lambda sizes: (
            sizes.logits(num_classes),
            sizes.heat(),
            sizes.logits(2),
        ),
    )


#: Makes a merge for a spec and the size of the image.
MERGES: dict[str, Callable[[EvalSpec, tuple[int, int]], ExportedMerge]] = {
    "heads": _heads,
    "masks": _masks,
    "boxes": _boxes,
    "queries": _queries,
    "centers": _centers,
}
