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
from pps_torch.integrations.detectron2.config import add_pps_config, load_eval_spec
from pps_torch.integrations.detectron2.modeling.fused_merge import FusedMerge
from pps_torch.integrations.detectron2.modeling.output_size import resize_logits
from pps_torch.integrations.detectron2.modeling.part_aware_panoptic_fpn import PartAwarePanopticFPN
from pps_torch.integrations.detectron2.modeling.part_head import num_part_classes
from pps_torch.integrations.detectron2.modeling.part_segmentor import PartSegmentor
from pps_torch.integrations.detectron2.weights import check_weights
from pps_torch.specs import EvalSpec

ROLES = ("instance", "semantic", "part")
SEMANTIC_CLASSES = ("stuff", "all")


class RawOutputs(NamedTuple):
    """Unmerged outputs of a model for one image; None for those that the model does not have.

    Attributes:
        detections: `Instances` at the network's input size, with masks in their boxes' frames.
        sem_seg: `(C, H, W)` logits at the output size.
        part_seg: `(P, H, W)` logits at the output size.
    """

    detections: Instances | None = None
    sem_seg: Tensor | None = None
    part_seg: Tensor | None = None


@META_ARCH_REGISTRY.register()
class PartAwareBaseline(nn.Module):
    """An instance, a semantic and, if there is one, a part model, joined into one output.

    These are the baselines of *Part-aware Panoptic Segmentation* (CVPR 2021). Nothing is trained
    here: each model is trained by itself, with its own configuration. One model may fill several
    roles, and runs once for all of them: a Panoptic FPN can be instance and semantic model.

    Args:
        models: the models by name.
        name_of_role: name of the model that fills each of the roles `instance`, `semantic` and
            `part`; without a part model the outputs are panoptic alone.
        eval_spec: what the classes and part ids mean.
        semantic_classes: what the semantic channels mean: `"stuff"`, all things together and then
            the stuff classes, or `"all"`, each class of the spec in its order.
        **merge_options: the other arguments of `FusedMerge`.

    Raises:
        ValueError: a model cannot fill its role, or `semantic_classes` has another value.

    Example:
        ```python
        cfg.MODEL.META_ARCHITECTURE = "PartAwareBaseline"
        cfg.MODEL.PPS.BASELINE.INSTANCE_CONFIG = "panoptic_fpn.yaml"
        cfg.MODEL.PPS.BASELINE.SEMANTIC_CONFIG = "panoptic_fpn.yaml"  # the same network
        cfg.MODEL.PPS.BASELINE.PART_CONFIG = "part_fpn.yaml"
        model = build_model(cfg).eval()  # with the weights that these files name
        ```
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
        _check_semantic_classes("semantic_classes", semantic_classes)
        for role in ROLES:
            if role != "part" or role in name_of_role:
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
        """Read the constructor's arguments from `MODEL.PPS.BASELINE`."""
        semantic_classes = cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES
        _check_semantic_classes("MODEL.PPS.BASELINE.SEMANTIC_CLASSES", semantic_classes)
        models, name_of_role = build_models(cfg)
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
        return {
            "models": models,
            "name_of_role": name_of_role,
            "eval_spec": load_eval_spec(cfg),
            "semantic_classes": semantic_classes,
            "overlap_threshold": combine.OVERLAP_THRESH,
            "stuff_area_limit": combine.STUFF_AREA_LIMIT,
            "score_threshold": combine.INSTANCES_CONFIDENCE_THRESH,
            "paste_masks": cfg.MODEL.PPS.PASTE_MASKS,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run the models on a batch and merge their outputs.

        Args:
            batched_inputs: dicts with `image` and optionally `height` and `width`, as for all
                models of Detectron2. All models get the same image.

        Returns:
            for each image the outputs of Detectron2's `PanopticFPN`, and with a part model `pps`
            `(3, H, W)` int32.

        Raises:
            RuntimeError: the module is in training mode.
        """
        if self.training:
            raise RuntimeError(
                "PartAwareBaseline is not trained: train its models with their own "
                "configurations, or PartAwarePanopticFPN"
            )
        raw = {name: raw_outputs(model, batched_inputs) for name, model in self.models.items()}
        outputs = {role: raw[name] for role, name in self.name_of_role.items()}
        return [self._merge(outputs, image) for image in range(len(batched_inputs))]

    def _merge(self, outputs: dict[str, list[RawOutputs]], image: int) -> dict[str, Any]:
        """Merge what the models said of an image, by role."""
        detections, sem_seg = outputs["instance"][image].detections, outputs["semantic"][image]
        if "part" in outputs:
            part_seg = _part_ids(outputs["part"][image], self.spec)
            return self.fused_merge(detections, sem_seg.sem_seg, part_seg)
        merged: dict[str, Any] = self.fused_merge(detections, sem_seg.sem_seg)
        del merged["pps"]  # in which all parts would be unknown
        return merged


def raw_outputs(model: nn.Module, batched_inputs: list[dict[str, Any]]) -> list[RawOutputs]:
    """Run a model on a batch, without merging or pasting, and return the outputs of each image."""
    if isinstance(model, GeneralizedRCNN):
        results = model.inference(batched_inputs, do_postprocess=False)
        # GeneralizedRCNN returns detections; its subclasses a tuple of detections and logits.
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
    """Build the models of `MODEL.PPS.BASELINE`, each pair of configuration and weights once.

    Returns:
        the models by name, and the name of each role's model. A model is called by the first role
        that it fills.

    Raises:
        ValueError: names the key of a role without a configuration file (that of the parts needs
            none), or of weights that are not there.
    """
    options = cfg.MODEL.PPS.BASELINE
    models: dict[str, nn.Module] = {}
    name_of_source: dict[tuple[str, str], str] = {}
    name_of_role = {}
    for role in ROLES:
        config_file = options[f"{role.upper()}_CONFIG"]
        if not config_file and role == "part":
            continue
        if not config_file:
            raise ValueError(
                f"MODEL.PPS.BASELINE.{role.upper()}_CONFIG: expected a configuration file, "
                "found none"
            )
        source = config_file, options[f"{role.upper()}_WEIGHTS"]
        if source not in name_of_source:
            name_of_source[source] = role
            models[role] = _build_model(role, *source, device=cfg.MODEL.DEVICE)
        name_of_role[role] = name_of_source[source]
    return models, name_of_role


def _build_model(role: str, config_file: str, weights: str, device: str) -> nn.Module:
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.MODEL.DEVICE = device
    key = (
        f"MODEL.PPS.BASELINE.{role.upper()}_WEIGHTS" if weights else f"{config_file}: MODEL.WEIGHTS"
    )
    check_weights(weights or cfg.MODEL.WEIGHTS, key)
    model = build_model(cfg)
    DetectionCheckpointer(model).load(weights or cfg.MODEL.WEIGHTS)
    return model


def _check_semantic_classes(name: str, semantic_classes: str) -> None:
    if semantic_classes not in SEMANTIC_CLASSES:
        raise ValueError(f"{name}: expected one of {SEMANTIC_CLASSES}, found {semantic_classes!r}")


def _check_role(role: str, model: Any, spec: EvalSpec) -> None:
    """Raise ValueError if a model cannot fill a role."""
    fills = {
        "instance": isinstance(model, GeneralizedRCNN),
        "semantic": isinstance(model, (PanopticFPN, SemanticSegmentor))
        and not isinstance(model, PartSegmentor),
        "part": isinstance(model, (PartAwarePanopticFPN, SemanticSegmentor)),
    }
    if not fills[role]:
        raise ValueError(
            f"{role} model (MODEL.PPS.BASELINE.{role.upper()}_CONFIG): a {type(model).__name__} "
            "cannot fill this role"
        )
    if role == "instance":
        check_num_things(model.roi_heads.num_classes, spec)


def _part_ids(raw: RawOutputs, spec: EvalSpec) -> Tensor:
    """Find the best flat part id of each pixel, `(H, W)`, in the outputs of the part model.

    The part logits of a plain `SemanticSegmentor` are its `sem_seg`.
    """
    logits = raw.sem_seg if raw.part_seg is None else raw.part_seg
    if logits is None:
        raise ValueError("part model: expected part logits, found none")
    expected = num_part_classes(spec)
    if len(logits) != expected:
        raise ValueError(
            f"part model (MODEL.PPS.BASELINE.PART_CONFIG): expected {expected} channels, "
            f"found {len(logits)}"
        )
    return logits.argmax(dim=0)
