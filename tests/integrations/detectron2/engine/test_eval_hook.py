"""The hook evaluates when it should, on what it should, and leaves the training run unharmed."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden import cases

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data import build_detection_test_loader
from detectron2.engine import BestCheckpointer
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import COCOPanopticEvaluator, DatasetEvaluators
from detectron2.utils.events import EventStorage

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import PartPanopticEvaluator, PPSEvalHook, add_pps_config
from pps_torch.integrations.detectron2.data.metadata import pps_metadata
from tests.integrations.detectron2.coco_set import register
from tests.processes import in_processes

NAME = "pps_test_hook"
PART_PQ = "part_panoptic_seg/PartPQ"
NUM_IMAGES = 5


class Model(nn.Module):
    """Says of an image what is stored with it, of the first `num_known` rows only."""

    def __init__(self) -> None:
        super().__init__()
        self.num_known = nn.Parameter(torch.tensor(0.0))
        self.frozen = nn.BatchNorm1d(1)
        self.seen: list[str] = []
        self.fails = False

    def forward(self, inputs):
        if self.fails:
            raise RuntimeError("out of memory")
        assert not self.training and not self.frozen.training
        self.seen += [image["image_id"] for image in inputs]
        outputs = []
        for image in inputs:
            pps = image["stored"].clone()
            pps[:, int(self.num_known) :] = 255
            outputs.append({"pps": pps})
        return outputs


class Trainer(TrainerBase):
    """Sets how much the model knows, iteration by iteration."""

    def __init__(self, known: list[int], **options) -> None:
        super().__init__()
        self.known = known
        self.model = Model().train()
        self.model.frozen.eval()
        dicts = register_images()
        self.hook = PPSEvalHook(
            options.pop("period", 2),
            self.model,
            [NAME],
            lambda name: build_detection_test_loader(dicts, mapper=lambda image: image),
            PartPanopticEvaluator,
            **options,
        )

    def run_step(self) -> None:
        self.model.num_known.data.fill_(self.known[self.iter])

    def run(self, *more_hooks) -> Trainer:
        self.register_hooks([self.hook, *more_hooks])
        self.train(0, len(self.known))
        return self

    def scalars(self, name: str = PART_PQ) -> list[tuple[float, int]]:
        return self.storage.history(name).values() if name in self.storage.histories() else []


def register_images() -> list[dict]:
    dicts = []
    for name, pps, uids, _ in list(cases.part_pq_images("cpp_default"))[:NUM_IMAGES]:
        stored = torch.from_numpy(np.ascontiguousarray(pps)).int()
        dicts.append({"image_id": name, "pps_gt": torch.from_numpy(uids), "stored": stored})
    register(NAME, dicts, **pps_metadata(EvalSpec.load("cpp_default"), "cpp_default"))
    return dicts


def test_it_evaluates_each_period_and_at_the_end():
    trainer = Trainer([0, 8, 8, 64, 500]).run()
    values = trainer.scalars()
    assert [iteration for _, iteration in values] == [1, 3, 5]
    assert values[0][0] < values[1][0] < values[2][0]
    assert len(trainer.model.seen) == 3 * NUM_IMAGES
    assert len(Trainer([0, 8, 8, 8]).run().scalars()) == 2, "once at the end, not twice"
    assert trainer.model.training and not trainer.model.frozen.training


def test_period_0_is_off():
    assert not Trainer([0, 8, 8, 64], period=0).run().scalars()


def test_it_is_not_run_at_the_end_of_a_run_that_failed():
    trainer = Trainer([500, 500, 500], period=5)
    trainer.known.pop()
    trainer.register_hooks([trainer.hook])
    with pytest.raises(IndexError):
        trainer.train(0, 3)
    assert not trainer.model.seen


def test_a_subset_is_the_same_each_time():
    trainer = Trainer([500, 500, 500, 500], subset=2).run()
    names = [image["image_id"] for image in register_images()]
    assert trainer.model.seen == [names[0], names[2]] * 2
    (first, _), (second, _) = trainer.scalars(f"subset/{PART_PQ}")
    assert first == second > 0
    assert not trainer.scalars(), "what is measured on a subset is called so"


def test_the_best_checkpoint_is_kept(tmp_path):
    trainer = Trainer([0, 8, 0, 500, 0, 64])
    checkpointer = DetectionCheckpointer(trainer.model, str(tmp_path))
    trainer.run(BestCheckpointer(2, checkpointer, PART_PQ))
    saved = torch.load(tmp_path / "model_best.pth", weights_only=False)
    assert saved["iteration"] == 3 and saved["model"]["num_known"] == 500
    values = [value for value, _ in trainer.scalars()]
    assert max(values) == values[1]


def test_an_exception_ends_the_run():
    trainer = Trainer([500, 500, 500])
    trainer.model.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.run()
    assert trainer.model.training and not trainer.model.frozen.training


def test_an_exception_is_logged_and_the_run_goes_on(caplog):
    trainer = Trainer([500] * 5, continue_on_error=True)
    trainer.model.fails = True
    with caplog.at_level(logging.ERROR, logger="pps_torch"):
        trainer.run()
    assert trainer.iter == 5 and not trainer.scalars()
    assert [record.message for record in caplog.records] == [
        f"Evaluation failed after {i} iterations; going on" for i in (2, 4, 5)
    ]
    assert "out of memory" in caplog.text
    assert trainer.model.training and not trainer.model.frozen.training


def test_from_config_reads_its_keys():
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.DATASETS.TEST = (NAME,)
    cfg.TEST.PPS.PERIOD, cfg.TEST.PPS.SUBSET, cfg.TEST.PPS.CONTINUE_ON_ERROR = 3, 2, True
    plain = Trainer([500] * 3)
    build_loader = plain.hook._build_loader
    trainer = SimpleNamespace(
        model=plain.model,
        build_test_loader=lambda cfg, name: build_loader(name),
        build_evaluator=lambda cfg, name: PartPanopticEvaluator(name),
    )
    plain.hook = PPSEvalHook.from_config(cfg, trainer)
    assert plain.hook._continue_on_error
    assert len(plain.run().scalars(f"subset/{PART_PQ}")) == 1


@pytest.mark.parametrize("option", ["period", "subset"])
def test_negative_numbers_are_refused(option):
    with pytest.raises(ValueError, match=f"{option}: expected 0 or more, found -1"):
        Trainer([], **{option: -1})


@pytest.mark.parametrize("key", ["PERIOD", "SUBSET"])
def test_a_negative_key_is_named(key):
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.TEST.PPS[key] = -5
    with pytest.raises(ValueError, match=f"TEST.PPS.{key}: expected 0 or more, found -5"):
        PPSEvalHook.from_config(cfg, SimpleNamespace())


def test_a_subset_has_a_folder_of_its_own(tmp_path):
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.DATASETS.TEST, cfg.OUTPUT_DIR = (NAME,), str(tmp_path)
    cfg.TEST.PPS.PERIOD, cfg.TEST.PPS.SUBSET = 3, 2
    plain = Trainer([500] * 3)
    build_loader = plain.hook._build_loader
    trainer = SimpleNamespace(
        model=plain.model,
        build_test_loader=lambda cfg, name: build_loader(name),
        build_evaluator=lambda cfg, name: PartPanopticEvaluator(
            name, f"{cfg.OUTPUT_DIR}/inference"
        ),
    )
    plain.hook = PPSEvalHook.from_config(cfg, trainer)
    plain.run()
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert list(map(str, found)) == ["subset/inference/part_panoptic_quality.json"]
    assert cfg.OUTPUT_DIR == str(tmp_path)


@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: DatasetEvaluators([DatasetEvaluators([e])])]
)
def test_an_evaluator_that_compares_all_images_is_refused_with_a_subset(wrap):
    theirs = COCOPanopticEvaluator.__new__(COCOPanopticEvaluator)
    trainer = Trainer([500, 500], subset=2)
    trainer.hook._build_evaluator = lambda name: wrap(theirs)
    message = f"subset .TEST.PPS.SUBSET.: {NAME}: .* found a COCOPanopticEvaluator, which compares"
    with pytest.raises(ValueError, match=message):
        trainer.run()
    assert not trainer.model.seen, "before any training"


def test_a_configuration_without_the_keys_is_refused():
    with pytest.raises(ValueError, match="PPS; call add_pps_config.cfg. before the file is read"):
        PPSEvalHook.from_config(get_cfg(), SimpleNamespace())


def run_two(rank: int) -> dict:
    """An evaluation, one on fewer images than processes, and one that fails in rank 1."""
    found = {}
    whole = Trainer([500, 500]).run()
    found["whole"] = whole.scalars()
    found["one image"] = Trainer([500, 500], subset=1).run().scalars(f"subset/{PART_PQ}")
    trainer = Trainer([500] * 4, continue_on_error=True)
    trainer.model.fails = rank == 1
    trainer.run()
    found["fails and goes on"] = trainer.iter, trainer.scalars()
    trainer = Trainer([500] * 4)
    trainer.model.fails = rank == 1
    try:
        trainer.run()
    except RuntimeError as error:
        found["fails"] = str(error)
    trainer.model.fails = False
    with EventStorage():
        trainer.hook._evaluate_dataset(NAME)
    found["seen"] = whole.model.seen
    return found


def test_all_processes_take_part_and_fail_together():
    first, second = in_processes(2, run_two)
    whole = Trainer([500, 500]).run()
    assert first["whole"] == second["whole"] == whole.scalars()
    assert sorted(first["seen"] + second["seen"]) == sorted(whole.model.seen)
    one = Trainer([500, 500], subset=1).run().scalars(f"subset/{PART_PQ}")
    assert first["one image"] == second["one image"] == one
    assert first["fails and goes on"] == second["fails and goes on"] == (4, [])
    assert second["fails"] == "out of memory"
    expected = "evaluation failed in other processes: rank 1: RuntimeError: out of memory"
    assert first["fails"] == expected
