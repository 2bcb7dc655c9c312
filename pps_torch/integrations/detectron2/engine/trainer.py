"""Detectron2's DefaultTrainer with the data, models and evaluators of pps_torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.engine import BestCheckpointer, DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import PanopticFPN
from detectron2.utils import comm
from torch import nn
from torch.utils.data import DataLoader

from pps_torch.integrations.detectron2.config import check_has_pps_config, load_eval_spec
from pps_torch.integrations.detectron2.data.dataset_mapper import PPSDatasetMapper
from pps_torch.integrations.detectron2.data.datasets import register_missing
from pps_torch.integrations.detectron2.data.metadata import EVALUATOR_TYPE
from pps_torch.integrations.detectron2.engine.eval_hook import PPSEvalHook
from pps_torch.integrations.detectron2.evaluation.panoptic_quality_evaluator import (
    PanopticQualityEvaluator,
)
from pps_torch.integrations.detectron2.evaluation.part_panoptic_evaluator import (
    PartPanopticEvaluator,
)
from pps_torch.integrations.detectron2.modeling.fused_models import use_fused_merge
from pps_torch.integrations.detectron2.weights import check_weights


class PPSTrainer(DefaultTrainer):
    """Train and evaluate the model of a configuration with the keys of `add_pps_config`.

    The data sets of pps_torch that a configuration names are registered, unless their names are
    taken. Data sets with part labels, whose `evaluator_type` is `"pps"`, are read with
    `PPSDatasetMapper` and evaluated with `PartPanopticEvaluator`. Those with a `panoptic_json` are
    read as in Detectron2 and evaluated with `PanopticQualityEvaluator`.

    Example:
        ```python
        trainer = PPSTrainer(cfg)
        trainer.resume_or_load()
        trainer.train()
        ```
    """

    def resume_or_load(self, resume: bool = True) -> None:
        """Load `MODEL.WEIGHTS` or, to resume, the last checkpoint in `OUTPUT_DIR`.

        Raises:
            InputError: there is no file of the weights.
        """
        if not (resume and self.checkpointer.has_checkpoint()):
            check_weights(self.cfg.MODEL.WEIGHTS, "MODEL.WEIGHTS")
        super().resume_or_load(resume)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the model; `MODEL.PPS.FUSED_MERGE` says how a PanopticFPN merges."""
        check_has_pps_config(cfg)
        model = super().build_model(cfg)
        if cfg.MODEL.PPS.FUSED_MERGE and type(model) is PanopticFPN:
            names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
            spec = load_eval_spec(cfg) if any(map(_has_parts, names)) else None
            use_fused_merge(model, spec=spec, paste_masks=cfg.MODEL.PPS.PASTE_MASKS)
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """Build the endless loader of `DATASETS.TRAIN`."""
        if not all(map(_has_parts, cfg.DATASETS.TRAIN)):
            return super().build_train_loader(cfg)
        return build_detection_train_loader(cfg, mapper=PPSDatasetMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """Build the loader of a test set."""
        if not _has_parts(dataset_name):
            return super().build_test_loader(cfg, dataset_name)
        mapper = PPSDatasetMapper(cfg, is_train=False)
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Build the evaluator of a test set, which writes its files to `OUTPUT_DIR/inference`.

        If there are several test sets, each has a folder of its name in there.

        Raises:
            ValueError: the data set has neither part labels nor a `panoptic_json`.
        """
        folder = Path(cfg.OUTPUT_DIR) / "inference"
        output_dir = str(folder / dataset_name if len(cfg.DATASETS.TEST) > 1 else folder)
        tables = cfg.TEST.PPS.TABLES
        if _has_parts(dataset_name):
            spec = cfg.MODEL.PPS.EVAL_SPEC
            return PartPanopticEvaluator(dataset_name, output_dir, eval_spec=spec, tables=tables)
        if MetadataCatalog.get(dataset_name).get("panoptic_json") is None:
            raise ValueError(
                f"DATASETS.TEST: {dataset_name}: expected evaluator_type {EVALUATOR_TYPE!r} or a "
                "panoptic_json in its metadata, found neither"
            )
        return PanopticQualityEvaluator(dataset_name, output_dir, tables=tables)

    def build_hooks(self) -> list[HookBase]:
        """Build Detectron2's hooks, and those that `TEST.PPS.PERIOD` asks for.

        These are PPSEvalHook, and a BestCheckpointer on the PartPQ of the first test set, or on its
        PQ if that set has no part labels.

        Raises:
            ValueError: names the key if there is no test set to evaluate.
        """
        hooks = super().build_hooks()
        cfg = self.cfg
        if not cfg.TEST.PPS.PERIOD:
            return hooks
        if not cfg.DATASETS.TEST:
            raise ValueError(
                "DATASETS.TEST: expected a data set to evaluate every TEST.PPS.PERIOD = "
                f"{cfg.TEST.PPS.PERIOD} iterations, found none"
            )
        if repeats_last_evaluation(cfg):
            hooks = [hook for hook in hooks if not isinstance(hook, EvalHook)]
        added: list[HookBase] = [PPSEvalHook.from_config(cfg, self)]
        writers = []
        if comm.is_main_process():
            metric = best_metric(cfg, has_parts=_has_parts(cfg.DATASETS.TEST[0]))
            added.append(BestCheckpointer(cfg.TEST.PPS.PERIOD, self.checkpointer, metric))
            writers = [hooks.pop()]  # they write the scalars, so an evaluation comes before them
        return [*hooks, *added, *writers]


def repeats_last_evaluation(cfg: CfgNode) -> bool:
    """Whether Detectron2's EvalHook would only repeat the last evaluation by PPSEvalHook."""
    test = cfg.TEST
    return not (test.PPS.SUBSET or test.EVAL_PERIOD or len(test.EXPECTED_RESULTS))


def best_metric(cfg: CfgNode, *, has_parts: bool) -> str:
    """Name the scalar by which the best checkpoint is chosen.

    Args:
        cfg: the configuration.
        has_parts: whether the first test set has part labels.
    """
    names = ["subset"] if cfg.TEST.PPS.SUBSET else []
    if len(cfg.DATASETS.TEST) > 1:
        names.append(cfg.DATASETS.TEST[0])
    return "/".join([*names, "part_panoptic_seg/PartPQ" if has_parts else "panoptic_seg/PQ"])


def _has_parts(dataset_name: str) -> bool:
    """Whether a data set has part labels; those of pps_torch are registered by this."""
    register_missing([dataset_name])
    return MetadataCatalog.get(dataset_name).get("evaluator_type") == EVALUATOR_TYPE
