"""Evaluation during training, as a hook of Detectron2's trainers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import HookBase
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    CityscapesSemSegEvaluator,
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    LVISEvaluator,
    PascalVOCDetectionEvaluator,
    inference_on_dataset,
)
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Subset

from pps_torch.integrations.detectron2.config import check_has_pps_config
from pps_torch.integrations.detectron2.engine.evaluation_subset import fixed_subset
from pps_torch.integrations.detectron2.engine.module_modes import preserve_modes

logger = logging.getLogger(__name__)

#: Folder in OUTPUT_DIR of what evaluators write about a subset.
SUBSET_FOLDER = "subset"

# They compare all images of the data set, whichever they are given: on a subset they fail, or count
# the other images as missed.
_WHOLE_SET_EVALUATORS = (
    COCOPanopticEvaluator,
    COCOEvaluator,
    LVISEvaluator,
    CityscapesInstanceEvaluator,
    CityscapesSemSegEvaluator,
    PascalVOCDetectionEvaluator,
)


class PPSEvalHook(HookBase):
    """Evaluate every `period` iterations and after the last one, and store the scalars.

    The scalars have the names that Detectron2's `EvalHook` gives them: `part_panoptic_seg/PartPQ`,
    after the data set's name if there are several. On a subset they begin with `subset/`, so that
    they are never compared with those of all images. Register this hook before a
    `BestCheckpointer` of the same period, and before the writers.

    Every process needs this hook. If an evaluation fails in one process, it fails in all of them,
    and none is left waiting. Each module of the model keeps its train or eval mode.

    Args:
        period: iterations from one evaluation to the next; 0: no evaluation at all.
        model: the model to evaluate. If it is a DistributedDataParallel, its module is evaluated,
            as the processes may have different numbers of images.
        dataset_names: the data sets to evaluate on.
        build_loader: makes the test loader of a data set from its name; the data set is map-style.
        build_evaluator: makes the evaluator of a data set from its name.
        subset: how many images of each data set, evenly spread over it; 0: all.
        continue_on_error: whether training goes on when an evaluation fails. The error is then
            logged, and no scalar is stored.

    Raises:
        ValueError: for a negative `period` or `subset`; when training begins, for a subset with an
            evaluator of Detectron2 that compares all images of the data set in any case.

    Example:
        ```python
        trainer.register_hooks([PPSEvalHook.from_config(cfg, trainer)])
        name, checkpointer = "part_panoptic_seg/PartPQ", trainer.checkpointer
        if comm.is_main_process():
            trainer.register_hooks([BestCheckpointer(cfg.TEST.PPS.PERIOD, checkpointer, name)])
        ```
    """

    def __init__(
        self,
        period: int,
        model: nn.Module,
        dataset_names: Sequence[str],
        build_loader: Callable[[str], DataLoader],
        build_evaluator: Callable[[str], DatasetEvaluator],
        *,
        subset: int = 0,
        continue_on_error: bool = False,
    ) -> None:
        _check_not_negative(period=period, subset=subset)
        self._period = period
        self._model = model.module if isinstance(model, DistributedDataParallel) else model
        self._dataset_names = tuple(dataset_names)
        self._build_loader = build_loader
        self._build_evaluator = build_evaluator
        self._subset = subset
        self._continue_on_error = continue_on_error

    @classmethod
    def from_config(cls, cfg: CfgNode, trainer: Any) -> PPSEvalHook:
        """Build the hook that `TEST.PPS` describes.

        With `TEST.PPS.SUBSET` the evaluators are built for `OUTPUT_DIR/subset`, so that their files
        are not mixed with those of an evaluation of all images.

        Args:
            cfg: a configuration with the keys of `add_pps_config`.
            trainer: an object with `model`, `build_test_loader(cfg, name)` and
                `build_evaluator(cfg, name)`, such as Detectron2's `DefaultTrainer`.

        Raises:
            ValueError: names the key that is missing or negative.
        """
        check_has_pps_config(cfg)
        options = cfg.TEST.PPS
        _check_not_negative(**{f"TEST.PPS.{key}": options[key] for key in ("PERIOD", "SUBSET")})
        evaluator_cfg = cfg.clone()
        if options.SUBSET:
            evaluator_cfg.defrost()
            evaluator_cfg.OUTPUT_DIR = str(Path(cfg.OUTPUT_DIR) / SUBSET_FOLDER)
            evaluator_cfg.freeze()
        return cls(
            options.PERIOD,
            trainer.model,
            cfg.DATASETS.TEST,
            partial(trainer.build_test_loader, cfg),
            partial(trainer.build_evaluator, evaluator_cfg),
            subset=options.SUBSET,
            continue_on_error=options.CONTINUE_ON_ERROR,
        )

    def before_train(self) -> None:
        """Refuse a subset that an evaluator would not keep to."""
        if self._period and self._subset:
            for name in self._dataset_names:
                _check_takes_subset(name, self._build_evaluator(name))

    def after_step(self) -> None:
        """Evaluate if the period is over; the last iteration is left to `after_train`."""
        iteration = self.trainer.iter + 1
        if self._period and iteration % self._period == 0 and iteration != self.trainer.max_iter:
            self._evaluate()

    def after_train(self) -> None:
        """Evaluate, unless training ended early."""
        if self._period and self.trainer.iter >= self.trainer.max_iter:
            self._evaluate()

    def _evaluate(self) -> None:
        try:
            results = {name: self._evaluate_dataset(name) for name in self._dataset_names}
        except Exception:
            if not self._continue_on_error:
                raise
            done = min(self.trainer.iter + 1, self.trainer.max_iter)
            logger.exception(f"Evaluation failed after {done} iterations; going on")
            return
        if len(results) == 1:
            results = next(iter(results.values()))
        if self._subset:
            results = {"subset": results}
        self.trainer.storage.put_scalars(**flatten_results_dict(results), smoothing_hint=False)

    def _evaluate_dataset(self, name: str) -> dict[str, Any]:
        """Evaluate one data set; an error in one process is raised in all."""
        joint = _JointEvaluator()
        try:
            loader = subset_loader(self._build_loader(name), self._subset)
            joint.evaluator = self._build_evaluator(name)
            with preserve_modes(self._model):
                return inference_on_dataset(self._model, loader, joint)
        except Exception as error:
            joint.exchange_errors(error)
            raise


class _JointEvaluator(DatasetEvaluator):
    """An evaluator whose `evaluate` begins in all processes or fails in all.

    The `evaluate` of the evaluator inside communicates, so a process would wait there forever for
    one that has failed before.
    """

    evaluator: DatasetEvaluator

    def __init__(self) -> None:
        self._has_exchanged = False

    def reset(self) -> None:
        self.evaluator.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        self.evaluator.process(inputs, outputs)

    def evaluate(self) -> dict[str, Any]:
        errors = self.exchange_errors(None)
        if errors:
            raise RuntimeError(f"evaluation failed in other processes: {'; '.join(errors)}")
        return self.evaluator.evaluate()

    def exchange_errors(self, error: Exception | None) -> list[str]:
        """Exchange with the other processes, once, what has failed.

        Args:
            error: the error of this process, if there is one.

        Returns:
            a line for each process with an error; none from the second call on.
        """
        if self._has_exchanged:
            return []
        self._has_exchanged = True
        texts = comm.all_gather(None if error is None else f"{type(error).__name__}: {error}")
        return [f"rank {rank}: {text}" for rank, text in enumerate(texts) if text is not None]


def subset_loader(loader: DataLoader, count: int) -> DataLoader:
    """Build a test loader for a fixed subset of the images of another loader.

    Detectron2's `InferenceSampler` spreads the subset over the processes.

    Args:
        loader: a test loader of a map-style data set.
        count: how many images; with 0 the loader itself is returned.
    """
    if count == 0:
        return loader
    dataset: Any = loader.dataset
    indices = fixed_subset(len(dataset), count)
    return build_detection_test_loader(
        Subset(loader.dataset, indices),
        mapper=None,
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
    )


def _check_takes_subset(dataset_name: str, evaluator: DatasetEvaluator) -> None:
    for single in _single_evaluators(evaluator):
        if isinstance(single, _WHOLE_SET_EVALUATORS):
            raise ValueError(
                f"subset (TEST.PPS.SUBSET): {dataset_name}: expected evaluators of the images that "
                f"they are given, found a {type(single).__name__}, which compares all images of "
                "the data set; use PanopticQualityEvaluator for PQ, or evaluate all images"
            )


def _single_evaluators(evaluator: Any) -> Iterator[DatasetEvaluator]:
    """The evaluators in a list or in `DatasetEvaluators`, or the one that is given."""
    if isinstance(evaluator, DatasetEvaluators):
        evaluator = evaluator._evaluators
    if not isinstance(evaluator, Sequence):
        yield evaluator
        return
    for inner in evaluator:
        yield from _single_evaluators(inner)


def _check_not_negative(**values: int) -> None:
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name}: expected 0 or more, found {value}")
