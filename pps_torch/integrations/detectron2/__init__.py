"""Detectron2: data sets, models, evaluators and a trainer, driven by its configurations.

There are four rooms: `data`, `modeling` and `evaluation`, which do not import each other, and
`engine`, which joins them. Beside them, `config` has the configuration keys, `class_ids` the
contiguous class numbers of a spec, and `visualizer` the pictures.

Importing this adds the architectures of the models to Detectron2's registry, and nothing else. The
data sets are registered by `PPSTrainer` as far as a configuration names them, and by
`register_all()`. Without Detectron2, only the modules that do not use it can be imported,
such as `class_ids` and `data.training_targets`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from pps_torch.integrations.libraries import importing

__all__ = [
    "PPSDatasetMapper",
    "PPSEvalHook",
    "PPSTrainer",
    "PanopticQualityEvaluator",
    "PartAwareBaseline",
    "PartAwarePanopticFPN",
    "PartPanopticEvaluator",
    "PartSegmentor",
    "add_pps_config",
    "register_all",
    "register_cityscapes_panoptic_parts",
    "register_pascal_panoptic_parts",
    "use_fused_merge",
]

if find_spec("detectron2") is None:

    def __getattr__(name: str) -> Any:
        """Name the missing library for the public names."""
        if name in __all__:
            raise ImportError(f"pps_torch.integrations.detectron2.{name} needs Detectron2")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

else:
    with importing("detectron2", "pps_torch.integrations.detectron2"):
        from pps_torch.integrations.detectron2.config import add_pps_config
        from pps_torch.integrations.detectron2.data.dataset_mapper import PPSDatasetMapper
        from pps_torch.integrations.detectron2.data.datasets import (
            register_all,
            register_cityscapes_panoptic_parts,
            register_pascal_panoptic_parts,
        )
        from pps_torch.integrations.detectron2.engine.eval_hook import PPSEvalHook
        from pps_torch.integrations.detectron2.engine.trainer import PPSTrainer
        from pps_torch.integrations.detectron2.evaluation.panoptic_quality_evaluator import (
            PanopticQualityEvaluator,
        )
        from pps_torch.integrations.detectron2.evaluation.part_panoptic_evaluator import (
            PartPanopticEvaluator,
        )
        from pps_torch.integrations.detectron2.modeling.fused_models import use_fused_merge
        from pps_torch.integrations.detectron2.modeling.part_aware_baseline import PartAwareBaseline
        from pps_torch.integrations.detectron2.modeling.part_aware_panoptic_fpn import (
            PartAwarePanopticFPN,
        )
        from pps_torch.integrations.detectron2.modeling.part_segmentor import PartSegmentor
