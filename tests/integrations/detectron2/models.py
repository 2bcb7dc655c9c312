"""Small Detectron2 models with random weights whose detections are plentiful."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor

from pps_torch.integrations.detectron2.config import add_pps_config

FEATURES = ["res2", "res3", "res4", "res5"]


def small_config(architecture: str, depth: int = 18, channels: int = 16) -> CfgNode:
    """An FPN configuration for the Cityscapes classes, on the CPU and without weights."""
    cfg = get_cfg()
    add_pps_config(cfg)
    model = cfg.MODEL
    model.META_ARCHITECTURE, model.DEVICE, model.WEIGHTS = architecture, "cpu", ""
    model.MASK_ON = True
    model.BACKBONE.NAME, model.BACKBONE.FREEZE_AT = "build_resnet_fpn_backbone", 0
    model.RESNETS.DEPTH, model.RESNETS.OUT_FEATURES = depth, FEATURES
    model.RESNETS.NORM, model.RESNETS.STRIDE_IN_1X1 = "GN", False
    model.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    model.FPN.IN_FEATURES, model.FPN.NORM, model.FPN.OUT_CHANNELS = FEATURES, "GN", 2 * channels
    model.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    model.RPN.POST_NMS_TOPK_TEST = model.RPN.POST_NMS_TOPK_TRAIN = 60
    model.ROI_HEADS.NAME, model.ROI_HEADS.NUM_CLASSES = "StandardROIHeads", 8
    model.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE, model.ROI_HEADS.SCORE_THRESH_TEST = 32, 0.0
    model.ROI_BOX_HEAD.NAME, model.ROI_BOX_HEAD.NUM_FC = "FastRCNNConvFCHead", 1
    model.ROI_BOX_HEAD.POOLER_RESOLUTION, model.ROI_BOX_HEAD.FC_DIM = 7, 4 * channels
    model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 1
    model.ROI_MASK_HEAD.CONV_DIM, model.ROI_MASK_HEAD.POOLER_RESOLUTION = channels, 14
    model.SEM_SEG_HEAD.NUM_CLASSES, model.SEM_SEG_HEAD.CONVS_DIM = 12, 2 * channels
    model.PPS.PART_HEAD.CONVS_DIM = 2 * channels
    model.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT = 32
    model.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH = 0.3
    return cfg


def lively_model(cfg: CfgNode, seed: int = 0) -> torch.nn.Module:
    """A model in evaluation mode that finds many objects with masks of many shapes."""
    torch.manual_seed(seed)
    model = build_model(cfg).eval()
    with torch.no_grad():
        if hasattr(model, "roi_heads"):
            classes = model.roi_heads.box_predictor.cls_score
            classes.weight.mul_(20)
            classes.bias[-1] = -3  # less background
            model.roi_heads.box_predictor.bbox_pred.weight.mul_(100)
            model.roi_heads.mask_head.predictor.weight.mul_(2000)
        for head in ("sem_seg_head", "part_head"):
            if hasattr(model, head):
                getattr(model, head).predictor.weight.mul_(5)
    return model


def photo(seed: int, low: int = 64, high: int = 100) -> dict:
    """A blurred random image as a model's input, with another output size."""
    generator = torch.Generator().manual_seed(seed)
    height, width = torch.randint(low, high, (2,), generator=generator).tolist()
    cells = torch.rand(1, 3, 8, 8, generator=generator) * 255
    image = torch.nn.functional.interpolate(cells, (height, width), mode="bicubic")[0]
    return {"image": image.clamp(0, 255), "height": height + seed % 9, "width": width - seed % 5}


def training_input(seed: int = 0) -> dict:
    """An input with two cars, one with parts, on a road, as the mapper makes it."""
    height, width = 64, 96
    sem_seg = torch.full((height, width), 1)
    part_seg = torch.zeros(height, width, dtype=torch.int64)
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, 20:50, 10:40] = masks[1, 30:60, 50:90] = True
    sem_seg[masks.any(0)] = 0
    part_seg[masks[0]] = 9
    part_seg[masks[1]] = 255
    instances = Instances((height, width), gt_classes=torch.tensor([2, 2]))
    instances.gt_boxes = Boxes(torch.tensor([[10.0, 20, 40, 50], [50, 30, 90, 60]]))
    instances.gt_masks = BitMasks(masks)
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 40
    image = noise + 120 * masks.any(0)
    return {"image": image, "instances": instances, "sem_seg": sem_seg, "part_seg": part_seg}


def field_tensor(value) -> Tensor:
    """The tensor of a field of Instances."""
    return getattr(value, "tensor", value)
