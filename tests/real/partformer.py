"""The head of Panoptic-PartFormer; what it imports of mmdetection 2 is empty here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor, nn

from tests.real.sources import EmptyModule

SPEC = "panoptic_parts/specs/eval_specs/ppq_cpp_19_23_cvpr21_default_evalspec.yaml"
#: Queries of things; those of stuff and of parts stand for a class each.
NUM_THING_QUERIES, NUM_THINGS, NUM_STUFF, NUM_PARTS = 16, 8, 11, 23
IMG_META = {
    "img_shape": (60, 92, 3),
    "batch_input_shape": (64, 96),
    "ori_shape": (90, 138, 3),
    "ori_filename": "ulm/ulm_000000_000019_leftImg8bit.png",
}
_EMPTY = (
    *("mmcv", "mmcv.cnn", "mmcv.cnn.bricks", "mmcv.cnn.bricks.transformer", "mmcv.runner"),
    *("mmdet", "mmdet.core", "mmdet.models", "mmdet.models.builder", "mmdet.models.roi_heads"),
    *("mmdet.models.dense_heads", "mmdet.models.dense_heads.atss_head", "mmdet.models.losses"),
    *("mmdet.utils", "models", "models.assigner", "models.assigner.mask_pseudo_sampler"),
)


class _RoIHead:
    """The base class of the head, as far as a merge needs it."""

    training = False

    def __init__(self, mask_head, test_cfg, **_) -> None:
        self.mask_head, self.test_cfg = [mask_head], test_cfg


def partformer_of(folder: Path, output_dir: Path):
    """The head with the thresholds of its configurations; it writes its PPS PNGs to a folder."""
    for name in _EMPTY:
        sys.modules[name] = EmptyModule(name)
    sys.modules["mmcv.runner"].force_fp32 = lambda **_: lambda method: method
    registry = SimpleNamespace(register_module=lambda: lambda kind: kind)
    sys.modules["mmdet.models.builder"].HEADS = registry
    sys.modules["mmdet.models.roi_heads"].BaseRoIHead = _RoIHead
    heads = folder / "models/panoptic_part"
    rescale_masks = _load(heads / "part_kernel_update_head.py").PartKernelUpdateHead.rescale_masks
    merge = SimpleNamespace(overlap_thr=0.6, instance_score_thr=0.3)
    return _load(heads / "part_kernel_iter_head.py").PartKernelIterHead(
        merge_joint=True,
        do_panoptic=True,
        num_stages=1,
        num_proposals=NUM_THING_QUERIES,
        num_thing_classes=NUM_THINGS,
        num_stuff_classes=NUM_STUFF,
        num_part_classes=NUM_PARTS,
        eval_spec_path=str(folder / SPEC),
        output_dir=str(output_dir),
        cityscapes=True,
        stage_loss_weights=(1,),
        mask_head=SimpleNamespace(
            rescale_masks=lambda masks, meta: rescale_masks(None, masks, meta),
            segm2result=lambda *_: (None, None),
        ),
        test_cfg=SimpleNamespace(max_per_img=20, mask_thr=0.5, merge_stuff_thing=merge),
    )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raw_outputs(seed: int) -> tuple[Tensor, Tensor]:
    """Scores `(50, 42)` of things, stuff and parts, and mask logits `(50, 16, 24)`."""
    generator = torch.Generator().manual_seed(seed)
    num_queries = NUM_THING_QUERIES + NUM_STUFF + NUM_PARTS
    scores = torch.rand(num_queries, NUM_THINGS + NUM_STUFF + NUM_PARTS, generator=generator)
    owners = torch.randint(0, NUM_THING_QUERIES + NUM_STUFF, (4, 6), generator=generator)
    parts = torch.randint(0, NUM_PARTS, (16, 24), generator=generator)
    scenes = torch.arange(NUM_THING_QUERIES + NUM_STUFF)[:, None, None]
    cells = torch.where(owners == scenes, 3.0, -3.0)[None]
    masks = nn.functional.interpolate(cells, (16, 24), mode="bilinear")[0]
    part_masks = torch.where(parts == torch.arange(NUM_PARTS)[:, None, None], 3.0, -3.0)
    return scores, torch.cat([masks, part_masks])
