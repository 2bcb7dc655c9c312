"""The merge of mask-classification queries in models of other projects, such as Mask2Former."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from pps_torch.merging import QueryPanopticMerger

_NUM_QUERIES, _MASK_SIZE = 12, (16, 24)  # of the scenes on which two merges are compared


def merges_queries(model: nn.Module) -> bool:
    """Whether a model merges its queries in a method `panoptic_inference`, with these settings."""
    names = ("panoptic_inference", "object_mask_threshold", "overlap_threshold", "metadata")
    has_head = hasattr(getattr(model, "sem_seg_head", None), "num_classes")
    return has_head and all(hasattr(model, name) for name in names)


def fuse_queries(model: Any) -> None:
    """Replace `panoptic_inference` of Mask2Former, MaskFormer or TAPPS by `QueryPanopticMerger`.

    The method of the model is compared with the new one on small random scenes first, so that a
    model with a rule of its own, as MaskDINO has it, is found out.

    Logits in half precision are merged as Mask2Former merges the same numbers in float32. Under
    autocast it multiplies mask probabilities that are rounded to half precision, in which many
    products are equal; its maps then differ from both in some pixels.

    Args:
        model: see `merges_queries`. Its thresholds are read once, by this call.

    Raises:
        TypeError: the model merges by another rule.
    """
    things = sorted(model.metadata.thing_dataset_id_to_contiguous_id.values())
    theirs = model.panoptic_inference
    model.fused_merge = QueryPanopticMerger(
        things,
        object_mask_threshold=model.object_mask_threshold,
        min_kept_fraction=model.overlap_threshold,
    ).to(model.device)
    has_parts = hasattr(model, "pps_inference")
    ours = MethodType(_panoptic_inference_of_tapps if has_parts else _panoptic_inference, model)
    if has_parts:
        _check_stuff_has_no_parts(model, things)
    for seed in range(4):
        scene = _scene(model.sem_seg_head.num_classes, model.device, seed)
        if not _is_same(theirs(*scene), ours(*scene)):
            del model.fused_merge
            raise TypeError(
                f"model: expected the merge of Mask2Former, {type(model).__name__} has a "
                "panoptic_inference of its own; merge_panoptic_queries merges queries by hand"
            )
    model.panoptic_inference = ours


def _panoptic_inference(
    model: Any, mask_cls: Tensor, mask_pred: Tensor
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Merge the queries of an image.

    Args:
        model: has the merger as `fused_merge`.
        mask_cls: `(Q, C + 1)` logits.
        mask_pred: `(Q, H, W)` logits.

    Returns:
        `(H, W)` int32, and a dict for each segment, as Mask2Former has them.
    """
    panoptic = model.fused_merge(mask_cls, mask_pred)
    keys = ("id", "isthing", "category_id")
    infos = [{key: info[key] for key in keys} for info in panoptic.segments_info()]
    return panoptic.panoptic_seg, infos


def _panoptic_inference_of_tapps(
    model: Any, mask_cls: Tensor, mask_pred: Tensor
) -> tuple[Tensor, list[dict[str, Any]], list[dict[str, Any]]]:
    """Merge the queries of an image, and list the query of each segment, from which parts come."""
    panoptic = model.fused_merge(mask_cls, mask_pred)
    infos, queries = [], []
    for info in panoptic.segments_info():
        infos.append({key: info[key] for key in ("id", "isthing", "category_id")})
        query = panoptic.source[info["id"] - 1] if info["isthing"] else None
        category = {"category_id": info["category_id"]}
        queries.append({"panoptic_id": info["id"], "query_id": query, **category})
    return panoptic.panoptic_seg, infos, queries


def _check_stuff_has_no_parts(model: Any, things: list[int]) -> None:
    stuff = sorted(set(model.metadata.train_sids_with_parts) - set(things))
    if stuff:
        raise TypeError(
            f"model: expected parts of things alone, found parts of the stuff classes {stuff}; "
            "merge_panoptic_queries and merge_pps merge by hand"
        )


def _scene(num_classes: int, device: torch.device, seed: int) -> tuple[Tensor, Tensor]:
    """Random logits of queries that overlap, of a few classes, with some that are dropped."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, min(num_classes, 6) + 1, (_NUM_QUERIES,), generator=generator)
    mask_cls = torch.randn(_NUM_QUERIES, num_classes + 1, generator=generator)
    mask_cls[range(_NUM_QUERIES), classes] += 12 * torch.rand(_NUM_QUERIES, generator=generator)
    owners = torch.randint(0, _NUM_QUERIES, (4, 6), generator=generator) // 2
    pairs = torch.arange(_NUM_QUERIES)[:, None, None] // 2  # the two of a pair overlap
    cells = torch.where(owners == pairs, 2.0, -3.0)[:, None]
    cells = cells + torch.randn(_NUM_QUERIES, 1, 4, 6, generator=generator)
    mask_pred = nn.functional.interpolate(cells, _MASK_SIZE, mode="bilinear")[:, 0]
    return mask_cls.to(device), mask_pred.to(device)


def _is_same(theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> bool:
    """Whether two results agree in the map and in the list of segments."""
    keys = ("id", "isthing", "category_id")
    lists = [[[info[key] for key in keys] for info in result[1]] for result in (theirs, ours)]
    return torch.equal(theirs[0], ours[0]) and lists[0] == lists[1] and len(theirs) == len(ours)
