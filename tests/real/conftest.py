"""The models of other projects, small and at random, where their sources are found."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest
import torch

from tests.real.partformer import partformer_of
from tests.real.queries import THINGS, settings
from tests.real.sources import (
    add_sources,
    forgotten_modules,
    forgotten_registrations,
    stand_in_for_extensions,
)
from tests.real.tapps_model import NAME, PARTS, SPEC, Parts


@pytest.fixture(scope="session")
def seven_classes():
    """The metadata of a data set of seven classes, three of them things."""
    from detectron2.data import MetadataCatalog

    metadata = MetadataCatalog.get("pps_real")
    contiguous = {100 + index: index for index in THINGS}
    metadata.set(thing_dataset_id_to_contiguous_id=contiguous)
    yield metadata
    MetadataCatalog.remove("pps_real")


@pytest.fixture
def mask2former(request):
    """Mask2Former's model."""
    pytest.importorskip("timm", reason="Mask2Former needs timm")
    add_sources("Mask2Former", "detectron2")
    with stand_in_for_extensions(), forgotten_registrations():
        from mask2former import MaskFormer

    return MaskFormer(**settings(request.getfixturevalue("seven_classes"))).eval()


@pytest.fixture
def maskdino(request):
    """MaskDINO's model, with the scores of its published configurations."""
    pytest.importorskip("timm", reason="MaskDINO needs timm")
    add_sources("MaskDINO", "detectron2")
    with stand_in_for_extensions(), forgotten_registrations():
        from maskdino import MaskDINO

    own = {"data_loader": "", "pano_temp": 0.06, "transform_eval": True}
    metadata = request.getfixturevalue("seven_classes")
    criterion = SimpleNamespace(weight_dict={})
    return MaskDINO(**settings(metadata, **own, criterion=criterion)).eval()


@pytest.fixture
def panoptic_deeplab():
    """Panoptic-DeepLab with small random heads that find a few centres."""
    add_sources("detectron2", "panopticapi")  # its data mapper imports the latter
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


@pytest.fixture(scope="session")
def tapps_sources():
    """The module of TAPPS' model, and its folder. It registers itself under Mask2Former's names."""
    for name in ("timm", "ruamel.yaml"):
        pytest.importorskip(name, reason=f"TAPPS needs {name}")
    folder = add_sources("tapps", "detectron2")
    add_sources("tapps/utils/panoptic_parts")
    with (
        stand_in_for_extensions(),
        forgotten_registrations(),
        pytest.MonkeyPatch.context() as patch,
    ):
        # Its panoptic_parts takes Python 3.10 and later for 3.1.
        patch.setattr(platform, "python_version", lambda: "3.7.0")
        from tapps import maskformer_model
    return maskformer_model, folder


@pytest.fixture
def tapps(tapps_sources, monkeypatch):
    """TAPPS' model for Cityscapes."""
    from detectron2.data import MetadataCatalog
    from panoptic_parts.specs.eval_spec import PartPQEvalSpec

    module, folder = tapps_sources
    monkeypatch.chdir(folder)  # its specs name each other from there
    path = folder / "utils/panoptic_parts/panoptic_parts/specs/eval_specs" / SPEC
    metadata = MetadataCatalog.get(NAME)
    metadata.set(
        thing_dataset_id_to_contiguous_id={24 + i: 11 + i for i in range(8)},
        train_sids_with_parts=list(PARTS),
        train_sids2train_pids=PARTS,
        eval_spec="cpp_default",
    )
    yield module.MaskFormer(
        **settings(metadata, 19, criterion=Parts(), num_queries=20),
        parts_on=True,
        save_dir="",
        save_predictions=False,
        num_part_classes=23,
        parts_conf_threshold=0.1,
        eval_spec=PartPQEvalSpec(str(path)),
        cfg=None,
    ).eval()
    MetadataCatalog.remove(NAME)


@pytest.fixture
def partformer(tmp_path, monkeypatch):
    """The head of Panoptic-PartFormer for Cityscapes; its `panoptic_parts` can be imported."""
    for name in ("ruamel.yaml", "sklearn"):
        pytest.importorskip(name, reason=f"Panoptic-PartFormer needs {name}")
    add_sources("panopticapi")
    folder = add_sources("Panoptic-PartFormer")
    with forgotten_modules("panoptic_parts", "mmdet", "mmcv", "models"):
        monkeypatch.syspath_prepend(folder)
        monkeypatch.chdir(folder)  # its specs name each other from there
        yield partformer_of(folder, tmp_path / "pps")
