"""The trainer: which data, merge, evaluators and hooks a configuration gets, and a short run."""

from __future__ import annotations

from types import MethodType

import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.data import MetadataCatalog
from detectron2.engine import BestCheckpointer
from detectron2.engine.hooks import EvalHook, PeriodicWriter
from detectron2.utils import comm

from pps_torch.integrations.detectron2.data import dataset_files
from pps_torch.integrations.detectron2.engine.eval_hook import PPSEvalHook
from pps_torch.integrations.detectron2.engine.trainer import (
    PPSTrainer,
    best_metric,
    repeats_last_evaluation,
)
from pps_torch.io.errors import InputError
from tests.integrations.detectron2.models import small_config


@pytest.fixture(autouse=True)
def four_streets(monkeypatch):
    monkeypatch.setitem(dataset_files.STREETS, "val", (1_000_000, 4))


def synthetic_config(tmp_path, architecture="PartAwarePanopticFPN"):
    cfg = small_config(architecture)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("pps_synthetic_train",), ("pps_synthetic_val",)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (64,), 128
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 2, 4, 0.001
    cfg.TEST.PPS.PERIOD, cfg.TEST.PPS.SUBSET = 2, 2
    cfg.OUTPUT_DIR = str(tmp_path)
    return cfg


@pytest.fixture
def whole_set():
    """A data set of whole segments, as COCO's, and its removal."""
    metadata = MetadataCatalog.get("test_trainer_whole")
    metadata.set(evaluator_type="coco_panoptic_seg")
    yield "test_trainer_whole"
    MetadataCatalog.remove("test_trainer_whole")


def test_the_best_checkpoint_is_chosen_by_the_scalar_of_the_hook(tmp_path):
    cfg = synthetic_config(tmp_path)
    assert best_metric(cfg, has_parts=True) == "subset/part_panoptic_seg/PartPQ"
    cfg.TEST.PPS.SUBSET = 0
    assert best_metric(cfg, has_parts=True) == "part_panoptic_seg/PartPQ"
    assert best_metric(cfg, has_parts=False) == "panoptic_seg/PQ"
    cfg.DATASETS.TEST = ("a", "b")
    assert best_metric(cfg, has_parts=True) == "a/part_panoptic_seg/PartPQ"


def test_nothing_is_evaluated_twice(tmp_path):
    cfg = synthetic_config(tmp_path)
    assert not repeats_last_evaluation(cfg)
    cfg.TEST.PPS.SUBSET = 0
    assert repeats_last_evaluation(cfg)
    cfg.TEST.EXPECTED_RESULTS = [["part_panoptic_seg", "PartPQ", 60.0, 5.0]]
    assert not repeats_last_evaluation(cfg)


def test_each_of_several_test_sets_has_its_own_files(tmp_path):
    cfg = synthetic_config(tmp_path)
    cfg.TEST.PPS.TABLES = True
    names = ("pps_synthetic_val", "pps_synthetic_train")
    for cfg.DATASETS.TEST in (names[:1], names):
        evaluator = PPSTrainer.build_evaluator(cfg, names[0])
        uids = torch.full((2, 2), 7)
        image = {"image_id": "street_1000000", "pps_gt": uids}
        evaluator.process([image], [{"pps": torch.stack([uids, 0 * uids, 0 * uids + 1])}])
        evaluator.evaluate()
    folder = tmp_path / "inference"
    assert (folder / "cpp_default_tables.json").is_file()
    assert (folder / names[0] / "pps" / "street_1000000.png").is_file()


@pytest.mark.parametrize("fused", [True, False])
def test_panoptic_fpn_merges_as_configured(tmp_path, fused):
    cfg = synthetic_config(tmp_path, "PanopticFPN")
    cfg.MODEL.PPS.FUSED_MERGE = fused
    model = PPSTrainer.build_model(cfg)
    assert isinstance(vars(model).get("inference"), MethodType) is fused
    if fused:
        assert model.fused_merge.spec.name == "cpp_default"


def test_a_set_of_whole_segments_gets_no_pps(tmp_path, whole_set):
    cfg = synthetic_config(tmp_path, "PanopticFPN")
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (whole_set,)
    assert PPSTrainer.build_model(cfg).fused_merge.spec is None
    message = "DATASETS.TEST: test_trainer_whole: expected evaluator_type 'pps' or a panoptic_json"
    with pytest.raises(ValueError, match=message):
        PPSTrainer.build_evaluator(cfg, whole_set)


def test_a_short_run_trains_evaluates_and_keeps_the_best_checkpoint(tmp_path):
    torch.manual_seed(0)
    trainer = PPSTrainer(synthetic_config(tmp_path))
    kinds = [type(hook) for hook in trainer._hooks]
    places = [kinds.index(kind) for kind in (EvalHook, PPSEvalHook, BestCheckpointer)]
    assert sorted(places) == places and kinds[-1] is PeriodicWriter
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    latest = trainer.storage.latest()
    assert 0 <= latest["subset/part_panoptic_seg/PartPQ"][0] <= 100
    assert 0 <= latest["part_panoptic_seg/PQ"][0] <= 100  # of the last, full evaluation
    assert latest["loss_part_seg"][0] > 0 and trainer.model.training
    after = trainer.model.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert (tmp_path / "model_final.pth").is_file() and (tmp_path / "model_best.pth").is_file()

    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("part_panoptic_quality.json")]
    assert sorted(map(str, written)) == [
        f"{folder}inference/part_panoptic_quality.json" for folder in ("", "subset/")
    ]


def test_weights_that_are_not_there_are_named(tmp_path):
    cfg = synthetic_config(tmp_path)
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    with pytest.raises(InputError, match="MODEL.WEIGHTS: .* no such file: .*model.pth"):
        PPSTrainer(cfg).resume_or_load(resume=False)


def test_a_period_without_a_test_set_is_refused(tmp_path):
    cfg = synthetic_config(tmp_path)
    cfg.DATASETS.TEST = ()
    with pytest.raises(ValueError, match="DATASETS.TEST: expected a data set .*PERIOD = 2"):
        PPSTrainer(cfg)


def test_every_process_evaluates_in_the_same_order(tmp_path, monkeypatch):
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    kinds = [type(hook) for hook in PPSTrainer(synthetic_config(tmp_path))._hooks]
    assert kinds[-2:] == [EvalHook, PPSEvalHook] and BestCheckpointer not in kinds


def test_the_models_of_a_baseline_are_trained_each_by_itself_and_evaluated_together(tmp_path):
    baseline = synthetic_config(tmp_path, "PartAwareBaseline")
    architectures = {
        "INSTANCE": "GeneralizedRCNN",
        "SEMANTIC": "SemanticSegmentor",
        "PART": "PartSegmentor",
    }
    for role, architecture in architectures.items():
        cfg = synthetic_config(tmp_path / role, architecture)
        cfg.DATASETS.TEST, cfg.TEST.PPS.PERIOD, cfg.SOLVER.MAX_ITER = (), 0, 1
        PPSTrainer(cfg).train()
        config_file = tmp_path / f"{role}.yaml"
        config_file.write_text(cfg.dump())
        baseline.MODEL.PPS.BASELINE[f"{role}_CONFIG"] = str(config_file)
        baseline.MODEL.PPS.BASELINE[f"{role}_WEIGHTS"] = str(tmp_path / role / "model_final.pth")
    results = PPSTrainer.test(baseline, PPSTrainer.build_model(baseline))
    assert 0 <= results["part_panoptic_seg"]["PartPQ"] <= 100


def test_panoptic_fpn_is_scored_with_unknown_parts(tmp_path):
    cfg = synthetic_config(tmp_path, "PanopticFPN")
    cfg.SOLVER.MAX_ITER, cfg.TEST.PPS.PERIOD = 1, 0
    trainer = PPSTrainer(cfg)
    trainer.train()
    assert 0 <= trainer.storage.latest()["part_panoptic_seg/PartPQ_parts"][0] <= 100
