"""The configuration keys: their defaults and types."""

from __future__ import annotations

import pytest

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.config import get_cfg

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import config
from pps_torch.specs import SpecError


@pytest.fixture
def cfg():
    cfg = get_cfg()
    config.add_pps_config(cfg)
    return cfg


def test_defaults(cfg):
    assert EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC).name == "cpp_default"
    assert cfg.MODEL.PPS.FUSED_MERGE is True and cfg.MODEL.PPS.PASTE_MASKS is True
    expected = {"TABLES": False, "PERIOD": 0, "SUBSET": 0, "CONTINUE_ON_ERROR": False}
    assert cfg.TEST.PPS == expected


def test_a_second_call_keeps_what_was_set(cfg):
    cfg.MODEL.PPS.EVAL_SPEC, cfg.TEST.PPS.PERIOD = "ppp_default", 500
    expected = cfg.clone()
    config.add_pps_config(cfg)
    assert cfg == expected


def test_a_saved_configuration_with_a_key_of_before_is_read(cfg, tmp_path):
    (tmp_path / "config.yaml").write_text("MODEL: {PPS: {PART_HEAD: {IGNORE_VALUE: 255}}}")
    cfg.merge_from_file(str(tmp_path / "config.yaml"))
    assert "IGNORE_VALUE" not in cfg.MODEL.PPS.PART_HEAD
    (tmp_path / "config.yaml").write_text("MODEL: {PPS: {PART_HEAD: {NO_KEY: 255}}}")
    with pytest.raises(KeyError, match="NO_KEY"):
        cfg.merge_from_file(str(tmp_path / "config.yaml"))


def test_each_section_is_added_where_it_lacks(cfg):
    del cfg.TEST["PPS"]
    cfg.MODEL.PPS.EVAL_SPEC = "ppp_default"
    config.add_pps_config(cfg)
    assert cfg.TEST.PPS.PERIOD == 0 and cfg.MODEL.PPS.EVAL_SPEC == "ppp_default"
    del cfg.MODEL["PPS"]
    config.add_pps_config(cfg)
    assert cfg.MODEL.PPS.EVAL_SPEC == "cpp_default"


def test_a_configuration_without_the_keys_is_refused(cfg):
    config.check_has_pps_config(cfg)
    with pytest.raises(ValueError, match=r"cfg: expected MODEL.PPS; call add_pps_config\(cfg\)"):
        config.check_has_pps_config(get_cfg())


def test_the_spec_is_loaded_and_a_missing_one_names_the_key(cfg):
    cfg.MODEL.PPS.EVAL_SPEC = "ppp_107"
    assert config.load_eval_spec(cfg).name == "ppp_107"
    cfg.MODEL.PPS.EVAL_SPEC = "no_such_spec"
    with pytest.raises(SpecError, match="^MODEL.PPS.EVAL_SPEC: no_such_spec: expected"):
        config.load_eval_spec(cfg)


def test_nothing_of_detectron2_is_changed(cfg):
    del cfg.MODEL["PPS"], cfg.TEST["PPS"]
    assert cfg == get_cfg()


def test_keys_take_values_of_their_type_only(cfg):
    cfg.merge_from_list(["TEST.PPS.PERIOD", "500", "MODEL.PPS.PART_HEAD.NORM", ""])
    assert cfg.TEST.PPS.PERIOD == 500
    with pytest.raises(ValueError, match="Type mismatch"):
        cfg.merge_from_list(["TEST.PPS.PERIOD", "often"])
    with pytest.raises(AssertionError, match="Non-existent key: TEST.PPS.PERIODE"):
        cfg.merge_from_list(["TEST.PPS.PERIODE", "500"])
