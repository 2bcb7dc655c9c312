"""Three models joined into PPS maps, and which models can fill which roles."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from pps_torch import EvalSpec, PanopticSegmentation, merge_pps
from pps_torch.integrations.detectron2.modeling.contiguous_pps_merger import ContiguousPPSMerger
from pps_torch.integrations.detectron2.modeling.part_aware_baseline import (
    PartAwareBaseline,
    raw_outputs,
)
from tests.integrations.detectron2.models import lively_model, photo, small_config

SPEC = EvalSpec.load("cpp_default")
ROLES = ("instance", "semantic", "part")


def write_model(folder, architecture: str, num_labels: int = 12, seed: int = 0) -> tuple[str, str]:
    """Configuration file and weights of a lively model."""
    cfg = small_config(architecture)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_labels
    config_file = folder / f"{architecture}_{num_labels}_{seed}.yaml"
    config_file.write_text(cfg.dump())
    DetectionCheckpointer(lively_model(cfg, seed), str(folder)).save(config_file.stem)
    return str(config_file), str(config_file.with_suffix(".pth"))


def baseline_config(instance, semantic, part):
    cfg = small_config("PartAwareBaseline")
    for role, (config_file, weights) in zip(ROLES, (instance, semantic, part)):
        cfg.MODEL.PPS.BASELINE[f"{role.upper()}_CONFIG"] = config_file
        cfg.MODEL.PPS.BASELINE[f"{role.upper()}_WEIGHTS"] = weights
    return cfg


def test_three_models_give_what_each_of_them_says(tmp_path):
    sources = [
        write_model(tmp_path, "GeneralizedRCNN", seed=1),
        write_model(tmp_path, "SemanticSegmentor", seed=2),
        write_model(tmp_path, "PartSegmentor", seed=3),
    ]
    model = build_model(baseline_config(*sources)).eval()
    assert list(model.models) == list(ROLES)
    inputs = [photo(0), photo(1)]
    with torch.no_grad():
        outputs = model(inputs)
        alone = [m(inputs) for m in model.models.values()]
    for i, output in enumerate(outputs):
        instances, sem_seg, part_seg = (result[i] for result in alone)
        assert torch.equal(output["instances"].pred_masks, instances["instances"].pred_masks)
        assert torch.equal(output["sem_seg"], sem_seg["sem_seg"])
        panoptic_seg, infos = output["panoptic_seg"]
        assert {info["isthing"] for info in infos} == {True, False}
        panoptic = PanopticSegmentation.from_segments(panoptic_seg, infos)
        panoptic = ContiguousPPSMerger(SPEC).with_sids(panoptic)
        expected = merge_pps(panoptic, part_seg["part_seg"].argmax(0), SPEC)
        assert torch.equal(output["pps"], expected)


def test_weights_are_loaded(tmp_path):
    source = write_model(tmp_path, "PartAwarePanopticFPN", seed=5)
    model = build_model(baseline_config(source, source, source))
    expected = lively_model(small_config("PartAwarePanopticFPN"), seed=5).state_dict()
    found = model.models["instance"].state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_one_model_can_fill_every_role_with_one_backbone(tmp_path):
    source = write_model(tmp_path, "PartAwarePanopticFPN")
    model = build_model(baseline_config(source, source, source)).eval()
    assert list(model.models) == ["instance"]
    with torch.no_grad():
        found = model([photo(4)])[0]
        expected = model.models["instance"]([photo(4)])[0]
    assert found["panoptic_seg"][1] == expected["panoptic_seg"][1]
    assert torch.equal(found["pps"], expected["pps"])


def test_without_a_part_model_the_outputs_are_panoptic_alone(tmp_path):
    whole = write_model(tmp_path, "PartAwarePanopticFPN")
    model = build_model(baseline_config(whole, whole, ("", ""))).eval()
    assert set(model.name_of_role) == {"instance", "semantic"}
    with torch.no_grad():
        (found,) = model([photo(4)])
        (expected,) = build_model(baseline_config(whole, whole, whole)).eval()([photo(4)])
    assert set(expected) - set(found) == {"pps"}
    assert torch.equal(found["panoptic_seg"][0], expected["panoptic_seg"][0])


def test_semantic_channels_may_be_all_classes(tmp_path):
    semantic = write_model(tmp_path, "SemanticSegmentor", num_labels=19)
    instance = part = write_model(tmp_path, "PartAwarePanopticFPN")
    cfg = baseline_config(instance, semantic, part)
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES = "all"
    model = build_model(cfg).eval()
    with torch.no_grad():
        output = model([photo(6)])[0]
    panoptic_seg, infos = output["panoptic_seg"]
    sids = torch.tensor(SPEC.eval_sids)[output["sem_seg"].argmax(0)]
    is_stuff = output["pps"][1].eq(1) & torch.isin(output["pps"][0], torch.tensor(SPEC.stuff))
    assert is_stuff.any() and torch.equal(output["pps"][0][is_stuff], sids[is_stuff].int())
    assert not any(info["category_id"] == 0 for info in infos if not info["isthing"])

    cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES = "stuff"
    model = build_model(cfg).eval()
    with pytest.raises(ValueError, match="sem_seg: .* 12 channels .*, found 19"), torch.no_grad():
        model([photo(6)])
    cfg.MODEL.PPS.BASELINE.SEMANTIC_CLASSES = "things"
    with pytest.raises(ValueError, match="BASELINE.SEMANTIC_CLASSES: .* one of .*found 'things'"):
        build_model(cfg)
    with pytest.raises(ValueError, match="^semantic_classes: expected one of .*found 'things'"):
        PartAwareBaseline({}, name_of_role={}, eval_spec=SPEC, semantic_classes="things")


@pytest.mark.parametrize(
    "role, architecture",
    [
        ("instance", "SemanticSegmentor"),
        ("semantic", "GeneralizedRCNN"),
        ("semantic", "PartSegmentor"),
        ("part", "PanopticFPN"),
    ],
)
def test_models_that_cannot_fill_a_role_are_refused(role, architecture):
    whole = build_model(small_config("PartAwarePanopticFPN"))
    models = {"whole": whole, "other": build_model(small_config(architecture))}
    names = {**dict.fromkeys(ROLES, "whole"), role: "other"}
    key = f"MODEL.PPS.BASELINE.{role.upper()}_CONFIG"
    with pytest.raises(ValueError, match=rf"{role} model \({key}\): a {architecture} cannot"):
        PartAwareBaseline(models, name_of_role=names, eval_spec=SPEC)


def test_a_missing_file_and_a_wrong_part_model_are_named(tmp_path):
    whole = write_model(tmp_path, "PartAwarePanopticFPN")
    with pytest.raises(ValueError, match="BASELINE.SEMANTIC_CONFIG: expected a configuration fil"):
        build_model(baseline_config(whole, ("", ""), whole))
    part = write_model(tmp_path, "SemanticSegmentor", num_labels=12)
    model = build_model(baseline_config(whole, whole, part)).eval()
    with pytest.raises(ValueError, match=r"part model \(.*PART_CONFIG\): .* 24 channels, found 12"):
        model([photo(0)])


def test_it_is_not_trained(tmp_path):
    whole = write_model(tmp_path, "PartAwarePanopticFPN")
    model = build_model(baseline_config(whole, whole, whole))
    with pytest.raises(RuntimeError, match="not trained: train its models"):
        model.train()([photo(0)])


def test_raw_outputs_of_an_unpasted_detector():
    model = lively_model(small_config("GeneralizedRCNN"))
    with torch.no_grad():
        (raw,) = raw_outputs(model, [photo(0)])
    assert raw.detections.pred_masks.shape[1:] == (1, 28, 28)
    assert raw.sem_seg is None and raw.part_seg is None


def test_weights_that_are_not_there_are_named(tmp_path):
    config = tmp_path / "instance.yaml"
    config.write_text(small_config("GeneralizedRCNN").dump())
    cfg = small_config("PartAwareBaseline")
    cfg.MODEL.PPS.BASELINE.INSTANCE_CONFIG = str(config)
    cfg.MODEL.PPS.BASELINE.INSTANCE_WEIGHTS = str(tmp_path / "model.pth")
    message = r"MODEL.PPS.BASELINE.INSTANCE_WEIGHTS: .* no such file: .*model\.pth"
    with pytest.raises(ValueError, match=message):
        build_model(cfg)
