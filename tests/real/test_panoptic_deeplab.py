"""Panoptic-DeepLab of Detectron2's projects: all outputs with the fused merge are its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.real.sources import add_sources

THINGS = (3, 4)


@pytest.fixture
def model():
    """The architecture with small random heads that find a few centres."""
    add_sources("detectron2")
    from detectron2.config import get_cfg
    from detectron2.data import MetadataCatalog
    from detectron2.modeling import build_model
    from detectron2.projects.panoptic_deeplab import add_panoptic_deeplab_config

    metadata = MetadataCatalog.get("pps_real_centers")
    metadata.set(
        thing_dataset_id_to_contiguous_id={26: 3, 27: 4},
        stuff_dataset_id_to_contiguous_id={7: 0, 8: 1, 9: 2},
        label_divisor=1000,
    )
    cfg = get_cfg()
    add_panoptic_deeplab_config(cfg)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "PanopticDeepLab", "cpu", ""
    cfg.MODEL.BACKBONE.NAME = "build_resnet_deeplab_backbone"
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.STEM_TYPE = 50, "deeplab"
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS, cfg.MODEL.RESNETS.NORM = 16, "BN"
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS, cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 32, 8
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.RES5_DILATION = 2
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res5"]
    cfg.MODEL.SEM_SEG_HEAD.NAME = "PanopticDeepLabSemSegHead"
    for head in (cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.INS_EMBED_HEAD):
        head.IN_FEATURES, head.PROJECT_FEATURES = ["res2", "res3", "res5"], ["res2", "res3"]
        head.PROJECT_CHANNELS, head.ASPP_CHANNELS, head.HEAD_CHANNELS = [8, 8], 16, 8
        head.ASPP_DILATIONS, head.ASPP_DROPOUT, head.CONVS_DIM = [1, 2, 3], 0.0, 16
        head.NORM = "BN"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 5
    cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE = "hard_pixel_mining"
    cfg.MODEL.PANOPTIC_DEEPLAB.STUFF_AREA = 200
    cfg.MODEL.PANOPTIC_DEEPLAB.PREDICT_INSTANCES = True
    cfg.INPUT.CROP.SIZE = (64, 64)
    cfg.DATASETS.TRAIN = ("pps_real_centers",)
    torch.manual_seed(0)
    built = build_model(cfg).eval()
    with torch.no_grad():
        built.sem_seg_head.predictor.weight.mul_(2000)
        built.ins_embed_head.center_predictor.weight.mul_(1000)
        built.ins_embed_head.center_predictor.bias.add_(20)
        built.ins_embed_head.offset_predictor.weight.mul_(2000)
    yield built
    MetadataCatalog.remove("pps_real_centers")


def photo(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(1, 3, 6, 9, generator=generator) * 255
    image = nn.functional.interpolate(cells, (96, 144), mode="bicubic")[0].clamp(0, 255)
    return {"image": image, "height": 100, "width": 150 + seed}


def test_labels_logits_and_instances_are_equal(model):
    from pps_torch.integrations.detectron2 import use_fused_merge

    fused = use_fused_merge(copy.deepcopy(model))
    num_things = num_stuff = 0
    for seed in range(5):
        with torch.no_grad():
            (expected,), (found,) = model([photo(seed)]), fused([photo(seed)])
        assert list(found) == list(expected)
        assert torch.equal(found["sem_seg"], expected["sem_seg"])
        labels, infos = found["panoptic_seg"]
        assert infos is None and labels.dtype == expected["panoptic_seg"][0].dtype
        assert torch.equal(labels, expected["panoptic_seg"][0])
        for name, value in expected["instances"].get_fields().items():
            other = found["instances"].get(name)
            value, other = (getattr(field, "tensor", field) for field in (value, other))
            assert value.dtype == other.dtype
            if name == "scores":
                assert torch.allclose(value, other, atol=1e-5)
            else:
                assert torch.equal(value, other), name
        num_things += len(found["instances"])
        num_stuff += len({int(label) for label in labels.unique() if label % 1000 == 0})
    assert num_things > 10 and num_stuff > 5
