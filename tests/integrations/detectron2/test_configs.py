"""Every file of configs/ loads, names models that exist, and has the classes of its spec."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, build_model

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2.class_ids import check_num_labels, check_num_things
from pps_torch.integrations.detectron2.config import add_pps_config
from tests import ROOT

CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
RUNS = [file for file in FILES if not file.name.startswith("Base-")]
BASELINES = [file for file in RUNS if "baseline" in file.name]


def load(file: Path) -> CfgNode:
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.merge_from_file(str(file))
    return cfg


def name_of(file: Path) -> str:
    return str(file.relative_to(CONFIGS))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_file_loads(file):
    cfg = load(file)
    assert cfg.MODEL.META_ARCHITECTURE in META_ARCH_REGISTRY


def test_a_key_that_does_not_exist_is_found(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(f'_BASE_: "{CONFIGS / "Base-PPS-FPN.yaml"}"\nMODEL:\n  PPS:\n    SPEC: "x"\n')
    with pytest.raises(KeyError, match="Non-existent config key: MODEL.PPS.SPEC"):
        load(file)


@pytest.mark.parametrize("file", RUNS, ids=name_of)
def test_classes_are_those_of_the_spec(file):
    cfg = load(file)
    spec = EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC)
    check_num_things(cfg.MODEL.ROI_HEADS.NUM_CLASSES, spec)
    check_num_labels(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, spec)


@pytest.mark.parametrize(
    "file", [f for f in RUNS if f.parent.name != "PASCAL-PanopticParts" and f not in BASELINES],
    ids=name_of,
)  # fmt: skip
def test_models_can_be_built(file):
    cfg = load(file)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.DEPTH = min(cfg.MODEL.RESNETS.DEPTH, 50)
    assert type(build_model(cfg)).__name__ == cfg.MODEL.META_ARCHITECTURE


@pytest.mark.parametrize("file", BASELINES, ids=name_of)
def test_baselines_join_models_that_exist_and_agree_with_them(file):
    cfg = load(file)
    options = cfg.MODEL.PPS.BASELINE
    for role in ("INSTANCE", "SEMANTIC", "PART"):
        model_cfg = load(ROOT / options[f"{role}_CONFIG"])
        assert model_cfg.MODEL.PPS.EVAL_SPEC == cfg.MODEL.PPS.EVAL_SPEC
        assert model_cfg.DATASETS.TRAIN == cfg.DATASETS.TRAIN
        assert options[f"{role}_WEIGHTS"] == f"{model_cfg.OUTPUT_DIR}/model_final.pth"


def test_runs_do_not_share_an_output_folder_within_quick_schedules():
    folders = [load(file).OUTPUT_DIR for file in RUNS if file.parent.name == "quick_schedules"]
    assert len(set(folders)) == len(folders) > 1
