"""Panoptic FPN with a part head: losses, outputs, and what the part loss counts."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from pps_torch import EvalSpec, PanopticSegmentation, merge_pps
from pps_torch.integrations.detectron2.modeling.contiguous_pps_merger import ContiguousPPSMerger
from pps_torch.integrations.detectron2.modeling.output_size import resize_logits
from pps_torch.integrations.detectron2.modeling.part_head import (
    PartSegFPNHead,
    num_part_classes,
    part_seg_loss,
)
from pps_torch.specs.bundled import find_spec
from tests.integrations.detectron2.models import lively_model, photo, small_config, training_input

SPEC = EvalSpec.load("cpp_default")


def test_part_loss_is_the_mean_cross_entropy():
    logits = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(5, (2, 6, 7), generator=torch.Generator().manual_seed(1))
    targets[0, :3] = 255
    expected = torch.nn.functional.cross_entropy(logits, targets, ignore_index=255)
    assert torch.allclose(part_seg_loss(logits, targets, 1.0, 255), expected)
    parts_only = targets.where(targets > 0, 255)
    expected = torch.nn.functional.cross_entropy(logits, parts_only, ignore_index=255)
    assert torch.allclose(part_seg_loss(logits, targets, 0.0, 255), expected)


@pytest.mark.parametrize("label, background_weight", [(255, 1.0), (0, 0.0)])
def test_part_loss_without_any_labelled_pixel_is_zero(label, background_weight):
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    loss = part_seg_loss(logits, torch.full((1, 4, 4), label), background_weight, 255)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_losses_are_those_of_panoptic_fpn_and_one_for_parts():
    losses = {}
    for architecture in ("PanopticFPN", "PartAwarePanopticFPN"):
        torch.manual_seed(0)
        model = build_model(small_config(architecture))
        with EventStorage():
            losses[architecture] = model([training_input()])
    new = losses["PartAwarePanopticFPN"].keys() - losses["PanopticFPN"].keys()
    assert new == {"loss_part_seg"}
    assert not losses["PanopticFPN"].keys() - losses["PartAwarePanopticFPN"].keys()


def test_losses_fall_and_every_part_of_the_network_learns():
    torch.manual_seed(0)
    model = build_model(small_config("PartAwarePanopticFPN"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    history = []
    with EventStorage():
        for step in range(15):
            losses = model([training_input(step), training_input(step + 1)])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            if step == 0:
                silent = [n for n, p in model.named_parameters() if p.grad is None]
                assert not silent
            optimizer.step()
            history.append({name: loss.item() for name, loss in losses.items()})
    for name in ("loss_sem_seg", "loss_part_seg"):
        assert history[-1][name] < 0.7 * history[0][name]
    assert sum(history[-1].values()) < 0.7 * sum(history[0].values())


def test_part_pixels_that_are_ignored_do_not_matter():
    torch.manual_seed(0)
    head = build_model(small_config("PartAwarePanopticFPN")).part_head
    logits = torch.randn(1, 24, 16, 24)
    labels = training_input()["part_seg"][None]
    expected = head.losses(logits, labels)["loss_part_seg"]
    changed = logits.clone()
    changed[:, :, 9:14, 14:21] += torch.randn(24)[:, None, None]  # within the second car
    assert torch.equal(head.losses(changed, labels)["loss_part_seg"], expected)
    changed[:, :, 6:9, 4:8] += torch.randn(24)[:, None, None]  # within the first one
    assert not torch.equal(head.losses(changed, labels)["loss_part_seg"], expected)


def test_outputs_agree_with_each_other_and_with_the_raw_logits():
    model = lively_model(small_config("PartAwarePanopticFPN"))
    inputs = photo(2)
    with torch.no_grad():
        output = model([dict(inputs)])[0]
        detections, sem_seg, part_seg = model.inference([dict(inputs)], do_postprocess=False)
    size = inputs["height"], inputs["width"]
    assert list(output) == ["sem_seg", "instances", "panoptic_seg", "pps"]
    assert output["pps"].shape == (3, *size) and output["sem_seg"].shape == (12, *size)
    parts = resize_logits(part_seg[0], detections[0].image_size, inputs).argmax(0)
    panoptic = PanopticSegmentation.from_segments(*output["panoptic_seg"])
    expected = merge_pps(ContiguousPPSMerger(SPEC).with_sids(panoptic), parts, SPEC)
    assert torch.equal(output["pps"], expected)
    assert len(output["pps"][2].unique()) > 3  # parts were really predicted


def test_class_counts_must_be_those_of_the_spec():
    cfg = small_config("PartAwarePanopticFPN")
    cfg.MODEL.PPS.EVAL_SPEC = "ppp_default"
    with pytest.raises(ValueError, match="SEM_SEG_HEAD.NUM_CLASSES: expected 40 for ppp_default"):
        build_model(cfg)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 40
    with pytest.raises(ValueError, match="ROI_HEADS.NUM_CLASSES: expected the 20 things of ppp"):
        build_model(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 20
    assert build_model(cfg).part_head.predictor.out_channels == 58


def test_the_heads_ignore_what_the_spec_ignores(tmp_path):
    text = find_spec("cpp_default", "evalspec").read_text()
    spec_file = tmp_path / "void_254.yaml"
    spec_file.write_text(text.replace("ignore_label: 255", "ignore_label: 254"))
    cfg = small_config("PartAwarePanopticFPN")
    cfg.MODEL.PPS.EVAL_SPEC = str(spec_file)
    with pytest.raises(ValueError, match="SEM_SEG_HEAD.IGNORE_VALUE: expected 254, .* found 255"):
        build_model(cfg)
    cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE = 254
    assert build_model(cfg).part_head.ignore_value == 254


def test_wrong_options_of_the_part_head_are_named():
    cfg = small_config("PartAwarePanopticFPN")
    cfg.MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT = -1.0
    message = "MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT: expected 0 or more, found -1.0"
    with pytest.raises(ValueError, match=message):
        build_model(cfg)
    with pytest.raises(ValueError, match="^background_weight: expected 0 or more, found -2"):
        PartSegFPNHead(
            {"p2": ShapeSpec(channels=8, stride=4)}, background_weight=-2, num_classes=24,
            conv_dims=32, common_stride=4, norm="GN",
        )  # fmt: skip
    cfg.MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT = 1.0
    cfg.MODEL.PPS.PART_HEAD.IN_FEATURES = ["p2", "res9"]
    message = r"PART_HEAD.IN_FEATURES: expected .*'p2'.*, found \['res9'\]"
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


def test_part_segmentor_trains_on_parts_and_gives_their_logits():
    model = build_model(small_config("PartSegmentor"))
    losses = model([training_input()])
    assert list(losses) == ["loss_part_seg"] and losses["loss_part_seg"].item() > 0
    inputs = photo(0)
    with torch.no_grad():
        (output,) = model.eval()([inputs])
    assert list(output) == ["part_seg"]
    assert output["part_seg"].shape == (num_part_classes(SPEC), inputs["height"], inputs["width"])
