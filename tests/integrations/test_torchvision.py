"""torchvision: a small Mask R-CNN with random weights, masks in the image and in their boxes."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import nn

from pps_torch import EvalSpec, PPSPostProcessor, merge_panoptic, merge_pps

pytest.importorskip("pps_torch.integrations.torchvision", exc_type=ImportError)
from pps_torch.integrations import torchvision as integration  # noqa: E402
from pps_torch.integrations.torchvision import (  # noqa: E402
    MaskRCNNPostProcessor,
    stack_detections,
)
from pps_torch.ops import backend as backends  # noqa: E402

SPEC = EvalSpec.load("cpp_default")
SIZE = (64, 96)
SETTINGS = {"score_threshold": 0.0, "overlap_threshold": 0.6, "stuff_area_limit": 30}


class Backbone(nn.Sequential):
    """Stride 16 with a few channels."""

    out_channels = 8

    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 16, 16), nn.ReLU())


@pytest.fixture
def detector():
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    torch.manual_seed(0)
    anchors = AnchorGenerator(sizes=((24, 48),), aspect_ratios=((0.5, 1.0, 2.0),))
    return MaskRCNN(
        Backbone(), num_classes=9, min_size=64, max_size=96, rpn_anchor_generator=anchors,
        box_score_thresh=0.1, box_detections_per_img=6,
    ).eval()  # fmt: skip


def logits(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(2, 19, 4, 6, generator=generator),
        torch.randn(2, 24, 8, 12, generator=generator),
    )


def labels(values, ids):
    full = nn.functional.interpolate(values, SIZE, mode="bilinear")
    return torch.tensor(ids)[full.argmax(1)]


def test_masks_in_the_image(detector):
    with torch.no_grad():
        detections = detector(list(torch.rand(2, 3, *SIZE)))
    assert all(len(found["scores"]) for found in detections)
    assert detections[0]["masks"].shape[1:] == (1, *SIZE)
    sem_seg_logits, part_logits = logits()
    post_process = MaskRCNNPostProcessor(SPEC, **SETTINGS)
    panoptic, pps = post_process(detections, sem_seg_logits, part_logits)
    for image, found in enumerate(detections):
        expected = merge_panoptic(
            labels(sem_seg_logits, SPEC.eval_sids)[image],
            found["masks"][:, 0] >= 0.5,
            found["scores"],
            torch.tensor(SPEC.things)[found["labels"] - 1],
            stuff_ids=SPEC.stuff,
            **SETTINGS,
        )
        assert expected.is_thing.any(), "a test without instances would say nothing"
        assert torch.equal(panoptic.panoptic_seg[image], expected.panoptic_seg)
        part_seg = labels(part_logits, range(24))[image]
        assert torch.equal(pps[image], merge_pps(expected, part_seg, SPEC))


def test_without_a_part_network_there_are_panoptic_maps_alone(detector):
    post_process = MaskRCNNPostProcessor(SPEC, **SETTINGS)
    detections = detector([torch.rand(3, *SIZE), torch.rand(3, *SIZE)])
    expected, _ = post_process(detections, *logits())
    panoptic, pps = post_process(detections, logits()[0])
    assert pps is None and all(torch.equal(a, b) for a, b in zip(panoptic, expected))


@pytest.mark.parametrize("masks_are_logits", [False, True])
def test_masks_in_their_boxes(detector, masks_are_logits):
    detector.transform.postprocess = lambda detections, *_: detections  # as roi_heads gives them
    with torch.no_grad():
        detections = detector(list(torch.rand(2, 3, *SIZE)))
    masks, boxes, scores, indices = stack_detections(detections)
    assert masks.shape[-2:] == (28, 28)
    expected = PPSPostProcessor(SPEC, **SETTINGS)(
        logits()[0], masks, boxes, scores, (indices - 1).clamp(min=0), logits()[1], SIZE
    )
    assert expected[0].is_thing.any(), "a test without instances would say nothing"
    if masks_are_logits:
        detections = [{**found, "masks": found["masks"].logit()} for found in detections]
    post_process = MaskRCNNPostProcessor(SPEC, **SETTINGS)
    found = post_process(detections, *logits(), SIZE, masks_are_logits=masks_are_logits)
    assert torch.equal(found[0].panoptic_seg, expected[0].panoptic_seg)
    assert torch.equal(found[1], expected[1])


def test_masks_in_their_boxes_need_the_size_of_the_image():
    detections = [detection(n, masks=torch.ones(n, 1, 28, 28)) for n in (2, 0)]
    post_process = MaskRCNNPostProcessor(SPEC)
    message = (
        r"^image_size: expected .H, W., as boxes reach to \(96, 64\) .* \(28, 28\), found None"
    )
    with pytest.raises(ValueError, match=message):
        post_process(detections, *logits())
    assert post_process(detections, *logits(), SIZE)[0].panoptic_seg.shape[1:] == SIZE
    assert post_process([detection(0)] * 2, *logits())[0].panoptic_seg.shape[1:] == SIZE


@pytest.mark.parametrize("mask_size", [SIZE, (28, 28)])
def test_every_step_asks_for_the_backend(mask_size, monkeypatch):
    post_process = MaskRCNNPostProcessor(SPEC, backend="torch")
    asked = []
    monkeypatch.setattr(backends, "check_backend", asked.append)
    post_process([detection(masks=torch.ones(2, 1, *mask_size))] * 2, *logits(), SIZE)
    assert len(asked) >= 5 and set(asked) == {"torch"}


def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="^backend: expected one of"):
        MaskRCNNPostProcessor(SPEC, backend="numpy")


def detection(count: int = 2, **change) -> dict:
    found = {
        "masks": torch.ones(count, 1, *SIZE),
        "boxes": torch.tensor([[0.0, 0, 96, 64]]).expand(count, 4),
        "scores": torch.linspace(0.9, 0.6, count),
        "labels": torch.full((count,), 3),
    }
    return {**found, **change}


def test_images_with_different_numbers_of_detections():
    masks, boxes, scores, classes = stack_detections([detection(2), detection(0)])
    assert masks.shape == (2, 2, *SIZE) and boxes.shape == (2, 2, 4)
    assert scores[1].tolist() == [-torch.inf] * 2 and classes.tolist() == [[3, 3], [0, 0]]
    panoptic, _ = MaskRCNNPostProcessor(SPEC)([detection(2), detection(0)], *logits())
    assert panoptic.category_ids[0, 0].item() == SPEC.things[2]
    assert not panoptic.is_thing[1].any()


def test_the_padding_of_a_batch_is_no_detection_whatever_the_threshold():
    """Logits of 0 are probabilities of a half, and 0 may be the label of a thing."""
    post_process = MaskRCNNPostProcessor(SPEC, label_ids=SPEC.things, score_threshold=0)
    batch = [detection(1, labels=torch.tensor([2])), detection(0)]
    panoptic, _ = post_process(batch, *logits(), masks_are_logits=True)
    assert panoptic.is_thing[0].any() and not panoptic.is_thing[1].any()


def test_other_label_meanings_and_background():
    post_process = MaskRCNNPostProcessor(SPEC, label_ids=[-1, 26, -1, 24])
    entries = [detection(1), detection(1, labels=torch.tensor([2]))]
    panoptic, _ = post_process(entries, *logits())
    assert panoptic.category_ids[0, 0].item() == 24 and not panoptic.is_thing[1].any()


@pytest.mark.parametrize(
    "change, match",
    [
        ({"labels": torch.tensor([3, 9])}, r"^labels: expected 0\.\.8, found 0\.\.9"),
        ({"scores": torch.tensor([0.9, torch.nan])}, "^scores: expected numbers, found 1 NaN"),
    ],
)
def test_validate_decides_what_is_refused_and_what_is_dropped(change, match):
    entries = [detection(**change), detection(1)]
    with pytest.raises(ValueError, match=match):
        MaskRCNNPostProcessor(SPEC)(entries, *logits())
    settings = {"validate": False, "score_threshold": -torch.inf, "overlap_threshold": 1.0}
    panoptic, _ = MaskRCNNPostProcessor(SPEC, **settings)(entries, *logits())
    assert panoptic.is_thing.sum(1).tolist() == [1, 1]


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"labels": torch.tensor([1, 9])}, ValueError, r"^labels: expected 0\.\.8, found 1\.\.9"),
        ({"labels": torch.ones(2)}, TypeError, r"^detections\[1\]\.labels: "),
        ({"boxes": torch.ones(1, 4)}, ValueError, r"^detections\[1\]\.boxes: .*\(2, 4\)"),
        ({"masks": torch.ones(2, 1, 9, 9)}, ValueError, r"^detections\[1\]\.masks: .*64, 96"),
    ],
)
def test_bad_detections_are_named(change, error, match):
    with pytest.raises(error, match=match):
        MaskRCNNPostProcessor(SPEC)([detection(), detection(**change)], *logits())


def test_bad_calls_are_named():
    post_process = MaskRCNNPostProcessor(SPEC)
    with pytest.raises(ValueError, match="^detections: expected at least one image"):
        stack_detections([])
    with pytest.raises(ValueError, match=r"^detections\[0\]: expected the keys \['boxes'\]"):
        stack_detections([{k: v for k, v in detection().items() if k != "boxes"}])
    with pytest.raises(ValueError, match="^part_logits: expected shape"):
        post_process([detection()] * 2, logits()[0], logits()[1][:, :23])
    with pytest.raises(ValueError, match="^sem_seg_logits: expected numbers, found NaN"):
        post_process([detection()] * 2, logits()[0] * torch.nan, logits()[1])
    with pytest.raises(ValueError, match=r"^image_size: .*\(0, 96\)"):
        post_process([detection()] * 2, *logits(), (0, 96))
    with pytest.raises(ValueError, match=r"^label_ids: .*\[7\]"):
        MaskRCNNPostProcessor(SPEC, label_ids=[-1, 7])


@pytest.mark.slow
def test_the_example_in_the_docstring_runs():
    result = doctest.testmod(integration)
    assert result.attempted > 0 and result.failed == 0
