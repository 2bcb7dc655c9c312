"""Panoptic maps with the table of their segments: predictions and targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree

from pps_torch.checks import check_int, checks_values
from pps_torch.formats.label_maps import (
    VOID_IDS,
    decode_label_map,
    number_labels,
    prediction_classes,
    target_classes,
    void_without_instance,
)
from pps_torch.formats.labels import encode_labels
from pps_torch.formats.segment_numbers import as_id_map, number_segments
from pps_torch.formats.segments_info import check_known, score_of, thing_of, with_category_ids
from pps_torch.reserved import ABSENT, VOID_ID
from pps_torch.specs import EvalSpec


class PanopticSegmentation(NamedTuple):
    """A panoptic prediction as tensors: a map of segment ids and a table of the segments.

    Row `k - 1` of the table is segment `k`. The capacity `S` follows from the shapes of the
    inputs; rows that hold no segment have category -1.

    Attributes:
        panoptic_seg: `(*B, H, W)` int32, segment ids 1..S, 0 is void.
        category_ids: `(*B, S)` int64, -1 in unused rows.
        is_thing: `(*B, S)` bool.
        scores: `(*B, S)` float, 0 for segments that come from a semantic map.
        areas: `(*B, S)` int64, visible pixels.
        source: `(*B, S)` int64, index of the instance or query, -1 for stuff.
        num_segments: `(*B,)` int64.
    """

    panoptic_seg: Tensor
    category_ids: Tensor
    is_thing: Tensor
    scores: Tensor
    areas: Tensor
    source: Tensor
    num_segments: Tensor

    @classmethod
    def from_segments(
        cls,
        ids: Tensor | np.ndarray[Any, Any],
        segments_info: Sequence[Mapping[str, Any]],
        *,
        categories: Sequence[Mapping[str, Any]] | EvalSpec | None = None,
        thing_ids: Collection[int] | None = None,
        void_id: int = VOID_ID,
        capacity: int | None = None,
    ) -> PanopticSegmentation:
        """Make one from a map of arbitrary segment ids and a list, as COCO and Detectron2 have it.

        This looks at the map on the host: a step for data loading, not for the graph. A segment
        of which neither the list nor `categories` or `thing_ids` say that it is a thing is stuff:
        `to_labels` does not number it as an instance, and `segments_info()` has no score of it.

        Args:
            ids: `(H, W)` map of any integer dtype, a tensor or a NumPy array.
            segments_info: dicts with `id` and `category_id`, or in its place `label_id`, as Hugging
                Face calls the model's own, and optionally `isthing` and `score`; their order
                becomes the order of the segments.
            categories: COCO category dicts (`id`, `isthing`), or an `EvalSpec` with its evaluation
                ids: which categories there are, and whether a segment that does not say `isthing`,
                or says None, is a thing. Default: category ids are not looked at.
            thing_ids: category ids of things, in place of `categories`.
            void_id: the id of pixels without segment.
            capacity: rows of the table, at least `len(segments_info)`, which is the default;
                images of one batch need the same.

        Raises:
            TypeError, ValueError: for a wrong argument, naming it, and a category that is none of
                `categories`.
            ValueError: for a segment that is in the map and not listed, or the reverse.

        Example:
            >>> import torch
            >>> categories = [{"id": 7, "isthing": 0}, {"id": 26, "isthing": 1}]
            >>> found = PanopticSegmentation.from_segments(
            ...     torch.tensor([[5, 5, 9]]),
            ...     [{"id": 5, "category_id": 7}, {"id": 9, "category_id": 26, "score": 0.75}],
            ...     categories=categories,
            ... )
            >>> found.is_thing
            tensor([False,  True])
        """
        ids, segments_info = as_id_map(ids), with_category_ids(segments_info)
        panoptic_seg, areas = number_segments(ids, segments_info, void_id)
        if thing_ids is not None and not isinstance(thing_ids, Collection):
            raise TypeError(f"thing_ids: expected ints, found {type(thing_ids).__name__}")
        if categories is not None:
            if thing_ids is not None:
                raise ValueError("thing_ids: expected None where categories are given")
            known = check_known(segments_info, categories)
            thing_ids = [category["id"] for category in known if category["isthing"]]
        things = [thing_of(info, () if thing_ids is None else thing_ids) for info in segments_info]
        count = len(segments_info)
        rest = _num_unused(count, capacity), ids
        categories = [info["category_id"] for info in segments_info]
        scores = [score_of(row, info) for row, info in enumerate(segments_info)]
        source = [row if is_thing else ABSENT for row, is_thing in enumerate(things)]
        return cls(
            panoptic_seg=panoptic_seg,
            category_ids=_column(categories, ABSENT, *rest),
            is_thing=_column(things, False, *rest),
            scores=_column(scores, 0.0, *rest),
            areas=_column(areas, 0, *rest),
            source=_column(source, ABSENT, *rest),
            num_segments=torch.from_numpy(np.array(count, np.int64)).to(ids.device),
        )

    @classmethod
    def from_labels(
        cls,
        labels: Tensor | tuple[Tensor, Tensor],
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        encoding: str = "pair",
        divisor: int | None = None,
        capacity: int | None = None,
        void_ids: Collection[int] = VOID_IDS,
        validate: bool | None = None,
    ) -> PanopticSegmentation:
        """Make one from maps of categories and instances, or from one map that packs both.

        All pixels of a stuff class are one segment, and all of one instance of a thing; pixels of
        a thing without instance are one segment more. Everything stays on the device.

        Args:
            labels, encoding, divisor, capacity, void_ids, validate: as in `PanopticTarget`'s
                [`from_labels`][pps_torch.formats.PanopticTarget.from_labels].
            categories: COCO category dicts (`id`, `isthing`), or an `EvalSpec`, whose evaluation
                ids the map holds; its `ignore_label` is void.

        Raises:
            TypeError, ValueError: as in `PanopticTarget`'s `from_labels`.
        """
        maps = decode_label_map(labels, encoding, divisor, validate)
        classes = prediction_classes(categories, void_ids, maps[0].device)
        found = number_labels(*maps, classes, capacity, validate)
        rows = torch.arange(found.category_ids.shape[-1], device=maps[0].device)
        return cls(
            panoptic_seg=found.panoptic_seg,
            category_ids=found.category_ids,
            is_thing=found.is_thing,
            scores=torch.zeros_like(found.areas, dtype=torch.float64),
            areas=found.areas,
            source=torch.where(found.is_thing, rows, ABSENT),
            num_segments=found.num_segments,
        )

    def to_labels(self, divisor: int, *, validate: bool | None = None) -> Tensor:
        """Write it as a map of `category * divisor + instance`, on the device.

        Detectron2's Panoptic-DeepLab and deeplab2 have such maps. The instances of a thing are
        numbered 1, 2, ... in the order of the segments; stuff is 0, and further segments of the
        same stuff class 1, 2, ... A category with a thing among its segments counts as a thing.

        Args:
            divisor: more than there are instances of any class.
            validate: look for what `Raises` names. Default: on the CPU only; unchecked, the label
                of an instance too many means another one, and a pixel without row is void.

        Returns:
            `(*B, H, W)` int64, -1 where there is no segment.

        Raises:
            TypeError, ValueError: for a divisor that is no int or below 1; with `validate`, where
                a class has too many instances for it, or a pixel an id without row.

        Example:
            >>> import torch
            >>> infos = [{"id": i, "category_id": c, "isthing": c == 26}
            ...          for i, c in ((1, 26), (2, 7), (3, 26))]
            >>> found = PanopticSegmentation.from_segments(torch.tensor([[0, 1, 2, 3]]), infos)
            >>> found.to_labels(1000)
            tensor([[   -1, 26001,  7000, 26002]])
        """
        categories, is_thing = self.category_ids, self.is_thing
        is_same = categories[..., :, None] == categories[..., None, :]
        has_thing = (is_same & is_thing[..., None, :]).any(-1)
        instances = is_same.tril(-1).sum(-1) + has_thing
        labels = encode_labels(categories, instances, divisor, "category_major", validate=validate)
        return label_pixels(self.panoptic_seg, labels, ABSENT, validate=validate)

    def segments_info(self) -> list[Any]:
        """List the segments as the usual dicts; this step leaves the device.

        Returns:
            For one image, a list of dicts with `id`, `category_id`, `isthing`, `area`
            and, for things, `score` and `source`; for a batch, a (nested) list of those.
        """
        if self.category_ids.ndim > 1:
            images = range(self.category_ids.shape[0])
            return [PanopticSegmentation(*(f[i] for f in self)).segments_info() for i in images]
        count = int(self.num_segments)
        tables = (self.category_ids, self.is_thing, self.areas, self.scores, self.source)
        infos = []
        for row, (category_id, is_thing, area, score, source) in enumerate(
            zip(*(table[:count].tolist() for table in tables))
        ):
            info = {"id": row + 1, "category_id": category_id, "isthing": is_thing, "area": area}
            if is_thing:
                info.update(score=score, source=source)
            infos.append(info)
        return infos


class PanopticTarget(NamedTuple):
    """A panoptic ground truth as tensors; rows as in `PanopticSegmentation`.

    Attributes:
        panoptic_seg: `(*B, H, W)` int32, segment ids 1..S, 0 is void.
        category_ids: `(*B, S)` int64, -1 in unused rows.
        is_crowd: `(*B, S)` bool.
        num_segments: `(*B,)` int64.
    """

    panoptic_seg: Tensor
    category_ids: Tensor
    is_crowd: Tensor
    num_segments: Tensor

    @classmethod
    def from_segments(
        cls,
        ids: Tensor | np.ndarray[Any, Any],
        segments_info: Sequence[Mapping[str, Any]],
        *,
        categories: Sequence[Mapping[str, Any]] | EvalSpec | None = None,
        void_id: int = VOID_ID,
        capacity: int | None = None,
        allow_misfits: bool = False,
    ) -> PanopticTarget:
        """Make one from a map of arbitrary segment ids and a list, as COCO and Detectron2 have it.

        Args:
            ids, void_id, capacity: as in `PanopticSegmentation`'s
                [`from_segments`][pps_torch.formats.PanopticSegmentation.from_segments].
            segments_info: dicts with `id` and `category_id` (or `label_id`), and optionally
                `iscrowd`; their order becomes the order of the segments.
            categories: COCO category dicts (`id`, `isthing`), or an `EvalSpec` with its evaluation
                ids: which categories there are. Default: category ids are not looked at.
            allow_misfits: take a list that does not fit the map: segments without pixels keep their
                row, and pixels of ids that are not listed get an id without row. Only
                `PanopticQuality(categories, rules="panopticapi")` counts such a ground truth.

        Raises:
            TypeError, ValueError: for a wrong argument, naming it, and a category that is none of
                `categories`.
            ValueError: for a segment that is in the map and not listed, or the reverse.
        """
        ids, segments_info = as_id_map(ids), with_category_ids(segments_info)
        if categories is not None:
            check_known(segments_info, categories)
        panoptic_seg, _ = number_segments(ids, segments_info, void_id, allow_misfits)
        count = len(segments_info)
        rest = num_unused, _ = _num_unused(count, capacity), ids
        if num_unused and allow_misfits:
            panoptic_seg = torch.where(panoptic_seg > count, count + num_unused + 1, panoptic_seg)
        crowds = [bool(info.get("iscrowd", 0)) for info in segments_info]
        return cls(
            panoptic_seg=panoptic_seg,
            category_ids=_column([i["category_id"] for i in segments_info], ABSENT, *rest),
            is_crowd=_column(crowds, False, *rest),
            num_segments=torch.from_numpy(np.array(count, np.int64)).to(ids.device),
        )

    @classmethod
    def from_labels(
        cls,
        labels: Tensor | tuple[Tensor, Tensor],
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        encoding: str = "pair",
        divisor: int | None = None,
        capacity: int | None = None,
        void_ids: Collection[int] = VOID_IDS,
        ignored_id: int | None = None,
        validate: bool | None = None,
    ) -> PanopticTarget:
        """Make one from maps of categories and instances, or from one map that packs both.

        All pixels of a stuff class are one segment, and all of one instance of a thing. Pixels of
        a thing without instance are a crowd. Everything stays on the device.

        Args:
            labels: by `encoding`, maps of any integer dtype:

                - `"pair"`: `(categories, instances)`, `(*B, H, W)` each; a negative instance is
                  absent.
                - `"cityscapes"`: `(*B, H, W)` instanceIds, `category * 1000 + instance`, or the
                  category alone.
                - `"uids"`: `(*B, H, W)`, the uids of panoptic_parts; parts do not count.
                - `"kitti_step"`: `(*B, 3, H, W)`, red is the category, green and blue, 0..255
                  each, are the instance, 0 for none.
                - `"mapillary"`: `(*B, H, W)` of 16 bits, `category * 256 + instance`; there are
                  no crowds.
                - `"category_major"`, `"instance_major"`: `(*B, H, W)` labels as of
                  [`decode_labels`][pps_torch.decode_labels], which need `divisor`; there are no
                  crowds.
            categories: COCO category dicts (`id`, `isthing`), or an `EvalSpec`, whose dataset's
                ids the map holds; those that the spec ignores are void.
            encoding: see `labels`.
            divisor: of the last two encodings; None for the others.
            capacity: rows of the table; images of one batch share it. None for as many as the
                fullest image needs; on CUDA that waits for the device.
            void_ids: ids that are void, beside negative ones, unless a category has them. The
                classes of a data set that are not evaluated belong here, or into an `EvalSpec`.
            ignored_id: the class that deeplab2 ignores: void without an instance or with instance
                0, a crowd with another one; `PanopticQuality(categories, rules="deeplab2_labels")`
                counts so. In predictions it is void.
            validate: look for the ids and the capacity that `Raises` names; None does so on the
                CPU. Unchecked, segments that find no row, and pixels of unknown ids, have ids above
                `capacity` in the map, for which the `compute` of a metric raises.

        Raises:
            TypeError, ValueError: for a wrong argument, naming it; with `validate` also for ids
                that are neither a category's nor void, and more segments than `capacity`.

        Example:
            >>> import torch
            >>> categories = [{"id": 7, "isthing": 0}, {"id": 26, "isthing": 1}]
            >>> instance_ids = torch.tensor([[7, 7, 26, 26_001, 26_002, 0]])
            >>> target = PanopticTarget.from_labels(instance_ids, categories, encoding="cityscapes")
            >>> target.panoptic_seg, target.category_ids
            (tensor([[1, 1, 2, 3, 4, 0]], dtype=torch.int32), tensor([ 7, 26, 26, 26]))
            >>> target.is_crowd
            tensor([False,  True, False, False])
        """
        maps = decode_label_map(labels, encoding, divisor, validate)
        classes = target_classes(categories, void_ids, ignored_id, maps[0].device)
        if ignored_id is not None:
            maps = void_without_instance(*maps, ignored_id), maps[1]
        found = number_labels(*maps, classes, capacity, validate)
        is_crowd = found.is_thing & ~found.has_instance
        if ignored_id is not None:
            is_crowd = is_crowd | (found.category_ids == ignored_id)
        return cls(
            panoptic_seg=found.panoptic_seg,
            category_ids=found.category_ids,
            is_crowd=is_crowd,
            num_segments=found.num_segments,
        )


# So that torch.export.save and load take programs with these among inputs or outputs.
for _container in (PanopticSegmentation, PanopticTarget):
    _pytree._register_namedtuple(
        _container, serialized_type_name=f"pps_torch.{_container.__name__}"
    )
    torch.serialization.add_safe_globals([_container])


def label_pixels(
    panoptic_seg: Tensor, labels: Tensor, void: int, *, validate: bool | None = None
) -> Tensor:
    """Give each pixel the label of its segment.

    Args:
        panoptic_seg: `(*B, H, W)` segment ids.
        labels: `(*B, S)`, of the segments 1..S.
        void: the label of pixels without segment, and unchecked of ids without row.
        validate: refuse ids without row. Default: on the CPU only.

    Returns:
        `(*B, H, W)` of the dtype of `labels`.
    """
    ids = panoptic_seg.flatten(-2).long()
    has_row = (ids >= VOID_ID) & (ids <= labels.shape[-1])
    if checks_values(validate, ids) and not has_row.all():
        found = int(ids[~has_row][0])
        raise ValueError(f"panoptic_seg: expected ids with a row in the table, found {found}")
    table = torch.cat([labels.new_full((*labels.shape[:-1], 1), void), labels], -1)
    return table.gather(-1, torch.where(has_row, ids, VOID_ID)).view(panoptic_seg.shape)


def check_container(name: str, value: object, *kinds: type) -> None:
    """Raise TypeError unless `value` is one of `kinds`, of the two above; plain tuples are not."""
    if not isinstance(value, kinds):
        expected = " or a ".join(kind.__name__ for kind in kinds)
        raise TypeError(
            f"{name}: expected a {expected} (its from_segments makes one), "
            f"found {type(value).__name__}"
        )


def _column(values: list[Any], unused: bool | int | float, num_unused: int, ids: Tensor) -> Tensor:
    """A table column: the values of the segments, then those of the unused rows."""
    dtype = np.dtype({bool: np.bool_, int: np.int64, float: np.float64}[type(unused)])
    column = np.array(values + [unused] * num_unused, dtype)  # a third of the time of torch.tensor
    return torch.from_numpy(column).to(ids.device)


def _num_unused(count: int, capacity: int | None) -> int:
    if capacity is None:
        return 0
    check_int("capacity", capacity, 0)
    if capacity < count:
        raise ValueError(f"capacity: expected at least {count} segments, found {capacity}")
    return capacity - count
