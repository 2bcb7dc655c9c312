"""The configuration keys that pps_torch adds to those of Detectron2, with their defaults."""

from __future__ import annotations

from detectron2.config import CfgNode

from pps_torch.specs import EvalSpec, SpecError

_OLD_KEY = "MODEL.PPS.PART_HEAD.IGNORE_VALUE"


def add_pps_config(cfg: CfgNode) -> None:
    """Add `MODEL.PPS` and `TEST.PPS` to a Detectron2 configuration, in place.

    Call it before the configuration file is read. A section that is there already keeps its values.

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
    # A key of earlier versions; configurations that Detectron2 saved with it can still be read.
    if not cfg.key_is_deprecated(_OLD_KEY):
        cfg.register_deprecated_key(_OLD_KEY)
    cfg.MODEL.PPS = CfgNode()
    # The evaluation spec, which says what the ids mean: a bundled name (cpp_default, cpp_grouped,
    # ppp_default, ppp_107) or the path of an evalspec file.
    cfg.MODEL.PPS.EVAL_SPEC = "cpp_default"
    # Whether a PanopticFPN is merged by merge_panoptic_boxes, from masks in their boxes' frames,
    # instead of Detectron2's loop over full masks. The outputs are the same. The part-aware models
    # of pps_torch are always merged in this way.
    cfg.MODEL.PPS.FUSED_MERGE = True
    # Whether outputs["instances"].pred_masks cover the whole image, as in Detectron2. False: they
    # stay ROIMasks, in their boxes' frames, which saves N x H x W bytes for each image and is
    # enough for PQ and PartPQ.
    cfg.MODEL.PPS.PASTE_MASKS = True

    # The part segmentation head of PartAwarePanopticFPN and PartSegmentor. Its channels are the
    # background, 0, and the flat part ids of EVAL_SPEC.
    cfg.MODEL.PPS.PART_HEAD = CfgNode()
    # A name in Detectron2's registry SEM_SEG_HEADS.
    cfg.MODEL.PPS.PART_HEAD.NAME = "PartSegFPNHead"
    # The feature maps of the backbone that the head reads.
    cfg.MODEL.PPS.PART_HEAD.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    # Channels of the convolutions.
    cfg.MODEL.PPS.PART_HEAD.CONVS_DIM = 128
    # Stride at which all feature maps are added.
    cfg.MODEL.PPS.PART_HEAD.COMMON_STRIDE = 4
    # Normalization of the convolutions.
    cfg.MODEL.PPS.PART_HEAD.NORM = "GN"
    # Weight of loss_part_seg.
    cfg.MODEL.PPS.PART_HEAD.LOSS_WEIGHT = 0.5
    # Weight of background pixels within loss_part_seg; pixels of parts have weight 1. With 0 the
    # head is trained on the pixels of parts only. That is enough for PPS maps, as the merge does
    # not look at the part map where a class has no parts.
    cfg.MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT = 1.0

    # The models that PartAwareBaseline joins. Each has a configuration file of its own; paths are
    # relative to the working directory. A model that is named for several roles, with the same
    # weights, is built once and shared by these roles.
    cfg.MODEL.PPS.BASELINE = CfgNode()
    # Mask R-CNN or Panoptic FPN: any GeneralizedRCNN with masks.
    cfg.MODEL.PPS.BASELINE.INSTANCE_CONFIG = ""
    # The weights; empty: MODEL.WEIGHTS of that configuration. Likewise for the next two models.
    cfg.MODEL.PPS.BASELINE.INSTANCE_WEIGHTS = ""
    # SemanticSegmentor or Panoptic FPN.
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CONFIG = ""
    cfg.MODEL.PPS.BASELINE.SEMANTIC_WEIGHTS = ""
    # What the channels of the semantic model mean. "stuff": the first one all things together, the
    # others the stuff classes, as in Panoptic FPN. "all": each class of the spec, in its order.
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES = "stuff"
    # PartSegmentor, PartAwarePanopticFPN, or a SemanticSegmentor over the flat part ids; empty: no
    # parts, the outputs are panoptic alone.
    cfg.MODEL.PPS.BASELINE.PART_CONFIG = ""
    cfg.MODEL.PPS.BASELINE.PART_WEIGHTS = ""


def _add_test_keys(cfg: CfgNode) -> None:
    # Evaluation: after training, and by PPSEvalHook during training.
    cfg.TEST.PPS = CfgNode()
    # Whether an evaluation writes tables and the predicted maps beside its result;
    # `pps-torch report` makes a page of them. The evaluation then takes somewhat longer.
    cfg.TEST.PPS.TABLES = False
    # Iterations from one evaluation by PPSEvalHook to the next; 0: no such evaluation.
    cfg.TEST.PPS.PERIOD = 0
    # How many images of each test set PPSEvalHook evaluates, the same ones each time; 0: all. Their
    # files go to OUTPUT_DIR/subset. The evaluation after training and --eval-only take all images.
    cfg.TEST.PPS.SUBSET = 0
    # Whether training goes on when an evaluation by PPSEvalHook fails; the error is then logged.
    cfg.TEST.PPS.CONTINUE_ON_ERROR = False


def check_has_pps_config(cfg: CfgNode) -> None:
    """Raise ValueError for a configuration without the keys of `add_pps_config`."""
    for section in ("MODEL", "TEST"):
        if "PPS" not in cfg[section]:
            raise ValueError(
                f"cfg: expected {section}.PPS; call add_pps_config(cfg) before the file is read"
            )


def load_eval_spec(cfg: CfgNode) -> EvalSpec:
    """Load the evaluation spec that `MODEL.PPS.EVAL_SPEC` names.

    Raises:
        SpecError: names the key, and the file or what was expected instead of the name.
    """
    try:
        return EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC)
    except SpecError as error:
        raise SpecError(f"MODEL.PPS.EVAL_SPEC: {error}") from error
