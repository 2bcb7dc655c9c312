"""The synthetic data set goes through Detectron2's loaders, and a perfect model scores 100."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.config import get_cfg
from detectron2.data import (
    DatasetCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.evaluation import inference_on_dataset

from pps_torch import EvalSpec, PanopticSegmentation, merge_pps
from pps_torch.integrations.detectron2 import (
    PartPanopticEvaluator,
    PPSDatasetMapper,
    add_pps_config,
    register_all,
)
from pps_torch.integrations.detectron2.data.training_targets import TrainingTargetMaker
from pps_torch.integrations.detectron2.engine.eval_hook import subset_loader

SPEC = EvalSpec.load("cpp_default")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("pps_synthetic_train",), ("pps_synthetic_val",)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.SOLVER.IMS_PER_BATCH = (128,), 2
    return cfg


def perfect(batch):
    """What a model would say that knows the ground truth: merged from the training targets."""
    outputs = []
    for image in batch:
        targets = TrainingTargetMaker(SPEC)(image["pps_gt"])
        ids = torch.zeros_like(targets.sem_seg)
        infos = []
        for label, sid in enumerate(SPEC.stuff, start=1):
            if (targets.sem_seg == label).any():
                infos.append({"id": len(infos) + 1, "category_id": sid, "isthing": False})
                ids[targets.sem_seg == label] = len(infos)
        for mask, thing in zip(targets.masks, targets.classes.tolist()):
            category_id = SPEC.things[thing]
            infos.append({"id": len(infos) + 1, "category_id": category_id, "isthing": True})
            ids[mask] = len(infos)
        panoptic = PanopticSegmentation.from_segments(ids, infos)
        outputs.append({"pps": merge_pps(panoptic, targets.part_seg, SPEC)})
    return outputs


@pytest.fixture(autouse=True)
def registered():
    register_all()


def test_a_perfect_model_scores_100(cfg):
    loader = build_detection_test_loader(
        cfg, "pps_synthetic_val", mapper=PPSDatasetMapper(cfg, is_train=False)
    )
    results = inference_on_dataset(
        perfect, subset_loader(loader, 3), PartPanopticEvaluator("pps_synthetic_val")
    )["part_panoptic_seg"]
    assert results["PartPQ"] == results["PQ"] == results["PQ_th"] == 100


def test_a_street_is_the_same_each_time(cfg):
    street = DatasetCatalog.get("pps_synthetic_train")[5]
    mapper = PPSDatasetMapper(cfg, is_train=False)
    first, second = mapper(street), mapper(street)
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["pps_gt"], second["pps_gt"])
    assert tuple(first["pps_gt"].shape) == (256, 512)
    other = mapper(DatasetCatalog.get("pps_synthetic_val")[5])
    assert not torch.equal(first["pps_gt"], other["pps_gt"])


def test_the_training_loader_makes_targets(cfg):
    loader = build_detection_train_loader(cfg, mapper=PPSDatasetMapper(cfg, is_train=True))
    batch = next(iter(loader))
    assert len(batch) == 2
    for sample in batch:
        assert len(sample["instances"]) > 5
        assert sample["part_seg"].max() == 255 and len(sample["part_seg"].unique()) > 8
