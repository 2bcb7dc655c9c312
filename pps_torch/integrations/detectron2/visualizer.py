"""Detectron2's Visualizer with this package's pictures of panoptic segmentations and PPS maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.specs import EvalSpec
from pps_torch.visualization import colorize_panoptic, colorize_pps, overlay

_THINGS_CLASS = "things"  # Detectron2's stuff class for the pixels of things
_LEAST_LABEL_AREA = 8  # the least area of a segment with a name on it, in squares of the font size


class PPSVisualizer(Visualizer):
    """A replacement of Detectron2's `Visualizer` that draws the same picture each time.

    Panoptic segmentations and PPS maps are drawn by
    [`colorize_panoptic`][pps_torch.visualization.colorize_panoptic] and
    [`colorize_pps`][pps_torch.visualization.colorize_pps]: each instance has a shade of its class
    colour that none of its neighbours has, where Detectron2 changes colours at random. All else is
    Detectron2's: the other `draw_...` methods, and the `VisImage` that each of them returns, with
    `get_image()` and `save(path)`. Detectron2's visualizer needs OpenCV and matplotlib.

    Args:
        img_rgb, metadata, scale, instance_mode, font_size_scale: as in Detectron2. The metadata's
            `thing_classes`, `stuff_classes`, `thing_colors`, `stuff_colors` and `label_divisor` are
            read. `ColorMode.IMAGE_BW` makes void gray.
        palette: `"class"` or `"colorblind"`.

    Example:
        >>> import numpy as np, torch
        >>> from detectron2.data import Metadata
        >>> metadata = Metadata(thing_classes=["cat"], stuff_classes=["things", "grass"])
        >>> panoptic_seg = torch.tensor([[1, 1, 2, 0]])
        >>> segments_info = [{"id": 1, "category_id": 0, "isthing": True},
        ...                  {"id": 2, "category_id": 1, "isthing": False}]
        >>> visualizer = PPSVisualizer(np.full((1, 4, 3), 200), metadata)
        >>> visualizer.draw_panoptic_seg(panoptic_seg, segments_info).get_image().shape
        (1, 4, 3)
    """

    def __init__(
        self,
        img_rgb: Any,
        metadata: Any = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
        *,
        palette: str = "class",
    ) -> None:
        super().__init__(img_rgb, metadata, scale, instance_mode, font_size_scale)
        self.palette = palette

    def draw_panoptic_seg(
        self,
        panoptic_seg: Tensor | np.ndarray,
        segments_info: list[dict[str, Any]] | None,
        area_threshold: int | None = None,
        alpha: float = 0.7,
    ) -> VisImage:
        """Draw a panoptic segmentation with the names and scores of its segments.

        Args:
            panoptic_seg: `(H, W)` integers on any device. One id may be missing in
                `segments_info`: void.
            segments_info: a dict for each segment with `id`, `category_id` (contiguous), `isthing`
                and optionally `score` and `iscrowd`. None: ids are `category *
                metadata.label_divisor + instance`, and -1 is void.
            area_threshold: stuff segments with fewer pixels are not drawn.
            alpha: weight of the colours, 0..1.

        Raises:
            ValueError: several ids are not listed, or the metadata does not have a category.
        """
        ids = torch.as_tensor(panoptic_seg).cpu()
        if segments_info is None:
            segments_info = self._decode(ids)
        found, areas = ids.unique(return_counts=True)
        areas_by_id = dict(zip(found.tolist(), areas.tolist(), strict=True))
        drawn = [
            info
            for info in segments_info
            if areas_by_id.get(info["id"], 0) >= (1 if info["isthing"] else area_threshold or 1)
        ]
        unlisted = sorted(areas_by_id.keys() - {info["id"] for info in segments_info})
        if len(unlisted) > 1:
            raise ValueError(f"panoptic_seg: expected one id for void, found {unlisted}")
        void = min(areas_by_id, default=0) - 1
        hidden = [*unlisted, *(areas_by_id.keys() - unlisted - {info["id"] for info in drawn})]
        ids = torch.where(torch.isin(ids, torch.tensor(hidden, device="cpu")), void, ids.long())

        categories = self._categories()
        indices = {(c["isthing"], c["category_id"]): index for index, c in enumerate(categories)}
        panoptic = PanopticSegmentation.from_segments(
            ids, [_with_index(info, indices) for info in drawn], void_id=void
        )
        colored = colorize_panoptic(panoptic, categories, palette=self.palette)
        names = [self._segment_name(info) for info in drawn]
        return self._show(colored, panoptic.panoptic_seg, alpha, lambda number: names[number - 1])

    draw_panoptic_seg_predictions = draw_panoptic_seg  # Detectron2's older name

    def draw_pps(self, pps: Tensor, spec: EvalSpec, alpha: float = 0.7) -> VisImage:
        """Draw a PPS map with the names of its segments.

        Args:
            pps: `(3, H, W)` integers on any device: scene class, instance, part, as from
                [`merge_pps`][pps_torch.merge_pps] or under `"pps"` in a model's output.
            spec: what the ids mean.
            alpha: weight of the colours, 0..1.

        Raises:
            ValueError: the map has ids that the spec does not have.
        """
        colored = colorize_pps(pps, spec, palette=self.palette).cpu()
        sids, iids, _ = pps.cpu().long()
        stride = int(iids.max()) + 1 if iids.numel() else 1
        segments = torch.where(sids == spec.ignore_label, 0, sids * stride + iids + 1)
        return self._show(
            colored, segments, alpha, lambda segment: spec.scene_labels[(segment - 1) // stride]
        )

    def _show(
        self, colored: Tensor, segments: Tensor, alpha: float, segment_name: Callable[[int], str]
    ) -> VisImage:
        """Lay a coloured map over the photo, and write names on the segments; segment 0 is void."""
        photo, void = self.img, segments == 0
        if self._instance_mode == ColorMode.IMAGE_BW:
            photo = self._create_grayscale_image(~void.numpy()).astype(np.uint8)
        blend = overlay(torch.from_numpy(photo).permute(2, 0, 1), colored, void, alpha)
        self.output.reset_image(blend.permute(1, 2, 0).numpy())

        least_area = _LEAST_LABEL_AREA * self._default_font_size**2
        found, areas = segments.unique(return_counts=True)
        for segment, area in zip(found.tolist(), areas.tolist(), strict=True):
            if segment and area >= least_area:
                mask = segments == segment
                color = (colored[:, mask].double().mean(1) / 255).tolist()
                color = self._change_color_brightness(color, brightness_factor=0.7)
                self.draw_text(segment_name(segment), _center(mask), color=color)
        return self.output

    def _decode(self, ids: Tensor) -> list[dict[str, Any]]:
        """List the segments of a map of `category * label_divisor + instance`."""
        divisor, things = self.metadata.label_divisor, self._contiguous_ids("thing")
        labels = [label for label in ids.unique().tolist() if label != -1]
        categories = [label // divisor for label in labels]
        return [
            {"id": label, "category_id": category, "isthing": category in things}
            for label, category in zip(labels, categories, strict=True)
        ]

    def _categories(self) -> list[dict[str, Any]]:
        """List the metadata's things and then its stuff as COCO categories, numbered from 0."""
        categories: list[dict[str, Any]] = []
        for kind in ("thing", "stuff"):
            colors = self.metadata.get(f"{kind}_colors", None)
            for category_id in self._contiguous_ids(kind):
                category = {"id": len(categories), "category_id": category_id}
                category["isthing"] = kind == "thing"
                if colors is not None:
                    category["color"] = colors[category_id]
                categories.append(category)
        return categories

    def _contiguous_ids(self, kind: str) -> list[int]:
        """The category ids of things or of stuff, also if both have one list of names."""
        names = self.metadata.get(f"{kind}_classes", [])
        contiguous_ids = self.metadata.get(f"{kind}_dataset_id_to_contiguous_id", None)
        ids = range(len(names)) if contiguous_ids is None else contiguous_ids.values()
        return sorted({i for i in ids if kind == "thing" or names[i] != _THINGS_CLASS})

    def _segment_name(self, info: dict[str, Any]) -> str:
        """Class, score and crowd mark of a segment, as Detectron2 writes them."""
        names = self.metadata.get("thing_classes" if info["isthing"] else "stuff_classes", [])
        score = f" {info['score']:.0%}" if info.get("score") is not None else ""
        return names[info["category_id"]] + score + ("|crowd" if info.get("iscrowd") else "")


def _with_index(info: dict[str, Any], indices: dict[tuple[bool, int], int]) -> dict[str, Any]:
    """Replace the category id of a segment by the index of its category."""
    key = (bool(info["isthing"]), info["category_id"])
    if key not in indices:
        kind = "thing" if info["isthing"] else "stuff"
        raise ValueError(
            f"segments_info: segment {info['id']}: expected a {kind} category of the "
            f"metadata, found {info['category_id']}"
        )
    return {"id": info["id"], "category_id": indices[key], "isthing": info["isthing"]}


def _center(mask: Tensor) -> tuple[int, int]:
    """(x, y) of the pixel of a mask that is nearest to the median of all its pixels."""
    pixels = mask.nonzero()
    middle = pixels.double().median(0).values
    y, x = pixels[(pixels - middle).square().sum(1).argmin()].tolist()
    return x, y
