"""Detectron2's DefaultTrainer with the models, data and evaluation of pps_torch."""

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

from pps_torch.integrations.detectron2.config import check_has_pps_config
from pps_torch.integrations.detectron2.data.dataset_mapper import PPSDatasetMapper
from pps_torch.integrations.detectron2.data.metadata import EVALUATOR_TYPE
from pps_torch.integrations.detectron2.engine.eval_hook import PPSEvalHook
from pps_torch.integrations.detectron2.evaluation.evaluators import (
    PanopticQualityEvaluator,
    PartPanopticEvaluator,
)
from pps_torch.integrations.detectron2.modeling.fused_merge import use_fused_merge
from pps_torch.specs import EvalSpec


class PPSTrainer(DefaultTrainer):
    """Trains and evaluates what a configuration says, with the keys of `add_pps_config`.

    Data sets whose `evaluator_type` is `"pps"` are read with `PPSDatasetMapper` and
    evaluated with `PartPanopticEvaluator`; those that have a `panoptic_json` are read
    as Detectron2 does and evaluated with `PanopticQualityEvaluator`.

    Example:
        .. code-block:: python

            trainer = PPSTrainer(cfg)
            trainer.resume_or_load()
            trainer.train()
    """

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model of the configuration; a PanopticFPN merges as MODEL.PPS.FUSED_MERGE says."""
        check_has_pps_config(cfg)
        model = super().build_model(cfg)
        if cfg.MODEL.PPS.FUSED_MERGE and type(model) is PanopticFPN:
            names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
            spec = EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC) if any(map(_has_parts, names)) else None
            use_fused_merge(model, spec=spec, paste_masks=cfg.MODEL.PPS.PASTE_MASKS)
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """The endless loader of `cfg.DATASETS.TRAIN`."""
        if not all(map(_has_parts, cfg.DATASETS.TRAIN)):
            return super().build_train_loader(cfg)
        return build_detection_train_loader(cfg, mapper=PPSDatasetMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """The loader of a test set."""
        if not _has_parts(dataset_name):
            return super().build_test_loader(cfg, dataset_name)
        mapper = PPSDatasetMapper(cfg, is_train=False)
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator of a test set; its files go to `OUTPUT_DIR/inference`.

        Where there are several test sets, each has a folder in it, called by its name.

        Raises:
            ValueError: for a data set without part labels and without panoptic_json.
        """
        folder = Path(cfg.OUTPUT_DIR) / "inference"
        output_dir = str(folder / dataset_name if len(cfg.DATASETS.TEST) > 1 else folder)
        tables = cfg.TEST.PPS.TABLES
        if _has_parts(dataset_name):
            spec = cfg.MODEL.PPS.EVAL_SPEC
            return PartPanopticEvaluator(dataset_name, output_dir, eval_spec=spec, tables=tables)
        if MetadataCatalog.get(dataset_name).get("panoptic_json") is None:
            raise ValueError(
                f"{dataset_name}: expected evaluator_type {EVALUATOR_TYPE!r} or a panoptic_json"
            )
        return PanopticQualityEvaluator(dataset_name, output_dir, tables=tables)

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks, PPSEvalHook and a BestCheckpointer on its PartPQ (else PQ)."""
        hooks = super().build_hooks()
        cfg = self.cfg
        if not cfg.TEST.PPS.PERIOD:
            return hooks
        if evaluates_all_twice(cfg):
            hooks = [hook for hook in hooks if not isinstance(hook, EvalHook)]
        added: list[HookBase] = [PPSEvalHook.from_config(cfg, self)]
        writers = []
        if comm.is_main_process():
            metric = best_metric(cfg, [_has_parts(name) for name in cfg.DATASETS.TEST])
            added.append(BestCheckpointer(cfg.TEST.PPS.PERIOD, self.checkpointer, metric))
            writers = [hooks.pop()]  # the scalars of an evaluation have to be there before
        return [*hooks, *added, *writers]


def evaluates_all_twice(cfg: CfgNode) -> bool:
    """Whether Detectron2's EvalHook would only repeat PPSEvalHook's last evaluation."""
    test = cfg.TEST
    return not (test.PPS.SUBSET or test.EVAL_PERIOD or len(test.EXPECTED_RESULTS))


def best_metric(cfg: CfgNode, have_parts: list[bool]) -> str:
    """Name of the scalar, of the first test set, by which the best checkpoint is chosen."""
    names = [] if not cfg.TEST.PPS.SUBSET else ["subset"]
    if len(cfg.DATASETS.TEST) > 1:
        names.append(cfg.DATASETS.TEST[0])
    return "/".join([*names, "part_panoptic_seg/PartPQ" if have_parts[0] else "panoptic_seg/PQ"])


def _has_parts(dataset_name: str) -> bool:
    return MetadataCatalog.get(dataset_name).get("evaluator_type") == EVALUATOR_TYPE
