"""The paper's baselines: an instance, a semantic and a part model, merged into PPS maps."""

from __future__ import annotations

from typing import Any, NamedTuple

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, configurable, get_cfg
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    GeneralizedRCNN,
    PanopticFPN,
    SemanticSegmentor,
    build_model,
)
from detectron2.structures import Instances
from torch import Tensor, nn

from pps_torch.integrations.detectron2.class_ids import check_num_things, semantic_labels
from pps_torch.integrations.detectron2.config import add_pps_config
from pps_torch.integrations.detectron2.modeling.fused_merge import FusedMerge, resize_logits
from pps_torch.integrations.detectron2.modeling.part_aware_panoptic_fpn import PartAwarePanopticFPN
from pps_torch.integrations.detectron2.modeling.part_head import num_part_classes
from pps_torch.integrations.detectron2.modeling.part_segmentor import PartSegmentor
from pps_torch.specs import EvalSpec

ROLES = ("instance", "semantic", "part")
SEMANTIC_CLASSES = ("stuff", "all")


class RawOutputs(NamedTuple):
    """What a model says of one image before anything is merged; None for what it does not say.

    Attributes:
        detections: `Instances` at the network's input size, with box-frame masks.
        sem_seg: `(C, H, W)` logits at the output size.
        part_seg: `(P, H, W)` logits at the output size.
    """

    detections: Instances | None = None
    sem_seg: Tensor | None = None
    part_seg: Tensor | None = None


@META_ARCH_REGISTRY.register()
class PartAwareBaseline(nn.Module):
    """An instance, a semantic and a part model, joined into panoptic and PPS outputs.

    The baselines of *Part-aware Panoptic Segmentation* (CVPR 2021): each model is trained by
    itself with its own configuration, and nothing is trained here. A role that the same model
    fills costs no second pass: a Panoptic FPN can be instance and semantic model.

    Args:
        models: name -> model.
        name_of_role: `instance`, `semantic` and `part` -> name in `models`.
        eval_spec: what the classes and part ids mean.
        semantic_classes: what the semantic channels are: `"stuff"`, things together and then
            the stuff classes, or `"all"`, each class of the spec in its order.
        **merge_options: as of `FusedMerge`.

    Raises:
        ValueError: for a role that its model cannot fill.

    Example:
        .. code-block:: python

            cfg.MODEL.META_ARCHITECTURE = "PartAwareBaseline"
            cfg.MODEL.PPS.BASELINE.INSTANCE_CONFIG = "panoptic_fpn.yaml"
            cfg.MODEL.PPS.BASELINE.SEMANTIC_CONFIG = "panoptic_fpn.yaml"    # the same network
            cfg.MODEL.PPS.BASELINE.PART_CONFIG = "part_fpn.yaml"
            model = build_model(cfg).eval()    # with the weights that these files name
    """

    @configurable
    def __init__(
        self,
        models: dict[str, nn.Module],
        *,
        name_of_role: dict[str, str],
        eval_spec: EvalSpec,
        semantic_classes: str = "stuff",
        **merge_options: Any,
    ) -> None:
        super().__init__()
        if semantic_classes not in SEMANTIC_CLASSES:
            raise ValueError(
                f"semantic_classes: expected one of {SEMANTIC_CLASSES}, got {semantic_classes!r}"
            )
        for role in ROLES:
            _check_role(role, models[name_of_role[role]], eval_spec)
        self.models = nn.ModuleDict(models)
        self.name_of_role = dict(name_of_role)
        self.spec = eval_spec
        self.fused_merge = FusedMerge(
            eval_spec,
            label_of_channel=semantic_labels(eval_spec) if semantic_classes == "all" else None,
            **merge_options,
        )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The arguments of the constructor, from `MODEL.PPS.BASELINE`."""
        models, name_of_role = build_models(cfg)
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
        return {
            "models": models,
            "name_of_role": name_of_role,
            "eval_spec": EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC),
            "semantic_classes": cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES,
            "overlap_threshold": combine.OVERLAP_THRESH,
            "stuff_area_limit": combine.STUFF_AREA_LIMIT,
            "score_threshold": combine.INSTANCES_CONFIDENCE_THRESH,
            "paste_masks": cfg.MODEL.PPS.PASTE_MASKS,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The outputs of Detectron2's `PanopticFPN`, and `pps` `(3, H, W)` int32.

        Args:
            batched_inputs: `image` and optionally `height` and `width`, as all models of
                Detectron2 take them. All models see the same image.

        Raises:
            RuntimeError: in training mode.
        """
        if self.training:
            raise RuntimeError(
                "PartAwareBaseline is not trained: train its models with their own "
                "configurations, or PartAwarePanopticFPN"
            )
        raw = {name: raw_outputs(model, batched_inputs) for name, model in self.models.items()}
        instance, semantic, part = (raw[self.name_of_role[role]] for role in ROLES)
        return [
            self.fused_merge(
                instance[image].detections,
                semantic[image].sem_seg,
                _part_ids(part[image], self.spec),
            )
            for image in range(len(batched_inputs))
        ]


def raw_outputs(model: nn.Module, batched_inputs: list[dict[str, Any]]) -> list[RawOutputs]:
    """Runs a model on a batch, without merging or pasting -> its raw outputs image by image."""
    if isinstance(model, GeneralizedRCNN):
        results = model.inference(batched_inputs, do_postprocess=False)
        # GeneralizedRCNN gives detections; its subclasses a tuple: logits come after them.
        detections, *logits = results if isinstance(results, tuple) else (results,)
        return [
            RawOutputs(
                detected, *(resize_logits(maps[i], detected.image_size, inputs) for maps in logits)
            )
            for i, (detected, inputs) in enumerate(zip(detections, batched_inputs))
        ]
    return [
        RawOutputs(None, out.get("sem_seg"), out.get("part_seg")) for out in model(batched_inputs)
    ]


def build_models(cfg: CfgNode) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Builds each distinct pair of configuration and weights of `MODEL.PPS.BASELINE` once.

    Returns:
        the models by name, and the name of each role's model: that of the first role it fills.
    """
    options = cfg.MODEL.PPS.BASELINE
    models: dict[str, nn.Module] = {}
    name_of_source: dict[tuple[str, str], str] = {}
    name_of_role = {}
    for role in ROLES:
        config_file = options[f"{role.upper()}_CONFIG"]
        if not config_file:
            raise ValueError(
                f"MODEL.PPS.BASELINE.{role.upper()}_CONFIG: expected a configuration file, got none"
            )
        source = config_file, options[f"{role.upper()}_WEIGHTS"]
        if source not in name_of_source:
            name_of_source[source] = role
            models[role] = _build_model(*source, device=cfg.MODEL.DEVICE)
        name_of_role[role] = name_of_source[source]
    return models, name_of_role


def _build_model(config_file: str, weights: str, device: str) -> nn.Module:
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.MODEL.DEVICE = device
    model = build_model(cfg)
    DetectionCheckpointer(model).load(weights or cfg.MODEL.WEIGHTS)
    return model


def _check_role(role: str, model: Any, spec: EvalSpec) -> None:
    """Raises ValueError if a model cannot fill a role."""
    fills = {
        "instance": isinstance(model, GeneralizedRCNN),
        "semantic": isinstance(model, (PanopticFPN, SemanticSegmentor))
        and not isinstance(model, PartSegmentor),
        "part": isinstance(model, (PartAwarePanopticFPN, SemanticSegmentor)),
    }
    if not fills[role]:
        raise ValueError(f"{role} model: a {type(model).__name__} cannot fill this role")
    if role == "instance":
        check_num_things(model.roi_heads.num_classes, spec)


def _part_ids(raw: RawOutputs, spec: EvalSpec) -> Tensor:
    """`(H, W)` flat part ids of part logits, of which a SemanticSegmentor's are its sem_seg."""
    logits = raw.sem_seg if raw.part_seg is None else raw.part_seg
    if logits is None:
        raise ValueError("part model: expected part logits, got none")
    expected = num_part_classes(spec)
    if len(logits) != expected:
        raise ValueError(f"part model: expected {expected} channels, got {len(logits)}")
    return logits.argmax(dim=0)
