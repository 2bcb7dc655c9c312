"""The configuration keys that pps_torch adds to Detectron2's, with their defaults."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_pps_config(cfg: CfgNode) -> None:
    """Adds `MODEL.PPS` and `TEST.PPS` to a Detectron2 configuration, in place.

    A configuration that has them stays as it is, with the values that were set.

    Example:
        >>> from detectron2.config import get_cfg
        >>> cfg = get_cfg()
        >>> add_pps_config(cfg)
        >>> cfg.MODEL.PPS.EVAL_SPEC
        'cpp_default'
    """
    if "PPS" not in cfg.MODEL:
        _add_model_keys(cfg)
    if "PPS" not in cfg.TEST:
        _add_test_keys(cfg)


def _add_model_keys(cfg: CfgNode) -> None:
    # It was a key, and so stands in configurations that Detectron2 saved.
    cfg.register_deprecated_key("MODEL.PPS.PART_HEAD.IGNORE_VALUE")
    cfg.MODEL.PPS = CfgNode()
    # What the ids mean: a bundled name (cpp_default, cpp_grouped, ppp_default, ppp_107) or the
    # path of an evalspec file.
    cfg.MODEL.PPS.EVAL_SPEC = "cpp_default"
    # Merge the outputs of a PanopticFPN with merge_panoptic_boxes, from masks in their boxes'
    # frames, instead of Detectron2's loop over full masks. The outputs are the same.
    # The part-aware models of pps_torch always do.
    cfg.MODEL.PPS.FUSED_MERGE = True
    # Whether outputs["instances"].pred_masks are masks in the image, as Detectron2 has them.
    # False: they stay ROIMasks, in their boxes' frames; enough for PQ and PartPQ, and it saves
    # N x H x W bytes for each image.
    cfg.MODEL.PPS.PASTE_MASKS = True

    # The part segmentation head of PartAwarePanopticFPN and PartSegmentor. Its channels are the
    # background, 0, and the flat part ids of EVAL_SPEC.
    cfg.MODEL.PPS.PART_HEAD = CfgNode()
    # A name in Detectron2's registry SEM_SEG_HEADS.
    cfg.MODEL.PPS.PART_HEAD.NAME = "PartSegFPNHead"
    # Feature maps of the backbone that the head reads.
    cfg.MODEL.PPS.PART_HEAD.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    # Channels of the convolutions.
    cfg.MODEL.PPS.PART_HEAD.CONVS_DIM = 128
    # Stride at which all feature maps are added.
    cfg.MODEL.PPS.PART_HEAD.COMMON_STRIDE = 4
    # Normalization of the convolutions.
    cfg.MODEL.PPS.PART_HEAD.NORM = "GN"
    # Weight of loss_part_seg.
    cfg.MODEL.PPS.PART_HEAD.LOSS_WEIGHT = 0.5
    # Weight of background pixels within loss_part_seg; those of parts have 1. 0 trains the head
    # on the pixels of parts only, which is enough for PPS maps: where a class has no parts, the
    # merge does not look at the part map.
    cfg.MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT = 1.0

    # The models that PartAwareBaseline joins. Each has a configuration file of its own, read from
    # the working directory. A model that is named for several roles, with the same weights, is
    # built once: its backbone is shared.
    cfg.MODEL.PPS.BASELINE = CfgNode()
    # Mask R-CNN or Panoptic FPN: any GeneralizedRCNN with masks.
    cfg.MODEL.PPS.BASELINE.INSTANCE_CONFIG = ""
    # Weights file; empty: MODEL.WEIGHTS of the configuration file. The same for the next two.
    cfg.MODEL.PPS.BASELINE.INSTANCE_WEIGHTS = ""
    # SemanticSegmentor or Panoptic FPN.
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CONFIG = ""
    cfg.MODEL.PPS.BASELINE.SEMANTIC_WEIGHTS = ""
    # What the semantic channels are. "stuff": things together, then the stuff classes, as
    # Panoptic FPN has them. "all": every class of the spec, in its order.
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES = "stuff"
    # PartSegmentor, PartAwarePanopticFPN, or a SemanticSegmentor over the flat part ids.
    cfg.MODEL.PPS.BASELINE.PART_CONFIG = ""
    cfg.MODEL.PPS.BASELINE.PART_WEIGHTS = ""


def _add_test_keys(cfg: CfgNode) -> None:
    # Evaluation, after training and by PPSEvalHook while it runs.
    cfg.TEST.PPS = CfgNode()
    # Whether an evaluation leaves its tables and predicted maps beside its result, which
    # `pps-torch report` makes a page of. It then takes some time longer.
    cfg.TEST.PPS.TABLES = False
    # Iterations from one evaluation to the next; 0: none.
    cfg.TEST.PPS.PERIOD = 0
    # How many images of each test set, the same ones each time; 0: all.
    cfg.TEST.PPS.SUBSET = 0
    # Whether training goes on when an evaluation raises an exception, which is then logged.
    cfg.TEST.PPS.CONTINUE_ON_ERROR = False


def check_has_pps_config(cfg: CfgNode) -> None:
    """Raises ValueError for a configuration without the keys of `add_pps_config`."""
    for section in ("MODEL", "TEST"):
        if "PPS" not in cfg[section]:
            raise ValueError(
                f"cfg: expected {section}.PPS; call add_pps_config(cfg) before the file is read"
            )
