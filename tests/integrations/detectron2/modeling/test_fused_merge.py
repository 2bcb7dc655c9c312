"""The fused merge gives the outputs of Detectron2's own, bit by bit."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.golden import cases

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.modeling import PanopticFPN, build_model
from detectron2.modeling.meta_arch.panoptic_fpn import combine_semantic_and_instance_outputs
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances, ROIMasks

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2.modeling.fused_merge import FusedMerge
from pps_torch.integrations.detectron2.modeling.fused_models import use_fused_merge
from tests.integrations.detectron2.models import field_tensor, lively_model, photo, small_config

SPEC = EvalSpec.load("cpp_default")


def expect_same_outputs(found: dict, expected: dict) -> None:
    """All keys in order, segments with their keys in order, tensors with their dtypes."""
    assert list(found) == list(expected)
    assert torch.equal(found["sem_seg"], expected["sem_seg"])
    (found_map, found_infos), (expected_map, expected_infos) = (
        found["panoptic_seg"],
        expected["panoptic_seg"],
    )
    assert found_map.dtype == expected_map.dtype and torch.equal(found_map, expected_map)
    assert [list(info.items()) for info in found_infos] == [
        list(info.items()) for info in expected_infos
    ]
    found_fields, expected_fields = (o["instances"].get_fields() for o in (found, expected))
    assert list(found_fields) == list(expected_fields)
    assert found["instances"].image_size == expected["instances"].image_size
    for name, value in expected_fields.items():
        a, b = field_tensor(found_fields[name]), field_tensor(value)
        assert a.dtype == b.dtype and torch.equal(a, b), name


def test_panoptic_fpn_r50_gives_the_same_outputs_on_fifty_images():
    cfg = small_config("PanopticFPN", depth=50)
    model = lively_model(cfg)
    fused = use_fused_merge(copy.deepcopy(model))
    threshold = cfg.MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH
    kept = dropped = stuff = 0
    for seed in range(50):
        with torch.no_grad():
            expected = model([photo(seed)])[0]
            found = fused([photo(seed)])[0]
        expect_same_outputs(found, expected)
        things = sum(info["isthing"] for info in expected["panoptic_seg"][1])
        above = int((expected["instances"].scores >= threshold).sum())
        kept, dropped = kept + things, dropped + above - things
        stuff += len(expected["panoptic_seg"][1]) - things
    assert kept > 300 and dropped > 300 and stuff > 50


@pytest.mark.parametrize(
    "case", list(cases.npz_cases("detectron2_paste")), ids=lambda c: str(c["case"])
)
def test_golden_cases(case):
    sem_seg = torch.from_numpy(case["sem_seg"]).long()
    logits = torch.nn.functional.one_hot(sem_seg, max(54, int(sem_seg.max()) + 1)).permute(2, 0, 1)
    detections = Instances(
        tuple(sem_seg.shape),
        pred_boxes=Boxes(torch.from_numpy(case["boxes"])),
        scores=torch.from_numpy(case["scores"]),
        pred_classes=torch.from_numpy(case["classes"]),
        pred_masks=torch.from_numpy(case["mask_probs"])[:, None],
    )
    merge = FusedMerge(
        overlap_threshold=case["overlap_threshold"],
        stuff_area_limit=case["stuff_area_limit"],
        score_threshold=case["score_threshold"],
    )
    panoptic_seg, segments_info = merge(detections, logits.float())["panoptic_seg"]
    different = (panoptic_seg != torch.from_numpy(case["panoptic_seg"])).float().mean()
    assert different <= 1e-4
    assert len(segments_info) == len(case["segments_info"])
    for found, expected in zip(segments_info, case["segments_info"]):
        for key in ("id", "isthing", "category_id", "score", "instance_id"):
            assert found.get(key) == expected.get(key)


def test_no_detection_and_a_batch_of_sizes():
    cfg = small_config("PanopticFPN")
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 1.0
    model = lively_model(cfg)
    fused = use_fused_merge(copy.deepcopy(model))
    with torch.no_grad():
        expected, found = (m([photo(0), photo(1)]) for m in (model, fused))
    assert len(expected[0]["instances"]) == 0
    for found_image, expected_image in zip(found, expected):
        expect_same_outputs(found_image, expected_image)


def test_masks_can_stay_in_their_boxes():
    model = lively_model(small_config("PanopticFPN"))
    pasted = use_fused_merge(copy.deepcopy(model))
    boxed = use_fused_merge(model, paste_masks=False)
    with torch.no_grad():
        expected, found = (m([photo(3)])[0] for m in (pasted, boxed))
    instances = found["instances"]
    assert isinstance(instances.pred_masks, ROIMasks)
    assert instances.pred_masks.tensor.shape[1:] == (28, 28)
    assert torch.equal(found["panoptic_seg"][0], expected["panoptic_seg"][0])
    size = instances.image_size
    masks = instances.pred_masks.to_bitmasks(instances.pred_boxes, *size).tensor
    assert torch.equal(masks, expected["instances"].pred_masks)


def test_a_spec_adds_pps_with_unknown_parts():
    model = use_fused_merge(lively_model(small_config("PanopticFPN")), spec=SPEC)
    with torch.no_grad():
        output = model([photo(1)])[0]
    panoptic_seg, segments_info = output["panoptic_seg"]
    sids, iids, pids = output["pps"]
    assert output["pps"].dtype == torch.int32
    counts = {}
    for info in segments_info:
        names = SPEC.things if info["isthing"] else (None, *SPEC.stuff)
        sid = names[info["category_id"]]
        counts[sid] = counts.get(sid, 0) + 1
        inside = panoptic_seg == info["id"]
        assert (sids[inside] == sid).all() and (iids[inside] == counts[sid]).all()
        assert (pids[inside] == (255 if sid in SPEC.parts else 1)).all()
    assert counts.keys() & set(SPEC.parts) and counts.keys() & set(SPEC.stuff)
    assert (sids[panoptic_seg == 0] == 255).all()


def test_raw_outputs_weights_and_training_are_untouched():
    model = lively_model(small_config("PanopticFPN"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert use_fused_merge(model) is model
    assert model.state_dict().keys() == before.keys()
    with torch.no_grad():
        detections, logits = model.inference([photo(0)], do_postprocess=False)
    assert detections[0].pred_masks.shape[1:] == (1, 28, 28) and logits.ndim == 4
    copied = copy.deepcopy(model)
    assert copied.inference.__self__ is copied


def detections(scores: list[float], dtype: torch.dtype = torch.float32) -> Instances:
    """Masks that overlap, at the network's size of 60 x 80."""
    generator, count = torch.Generator().manual_seed(len(scores)), len(scores)
    corners = torch.rand(count, 2, generator=generator) * torch.tensor([40.0, 30.0])
    sizes = 10 + torch.rand(count, 2, generator=generator) * 25
    return Instances(
        (60, 80),
        pred_boxes=Boxes(torch.cat([corners, corners + sizes], 1)),  # never half
        scores=torch.tensor(scores, dtype=dtype),
        pred_classes=torch.arange(count) % 8,
        pred_masks=torch.rand(count, 1, 28, 28, generator=generator).to(dtype),
    )


def detectron2s(instances: Instances, sem_seg: torch.Tensor) -> tuple:
    pasted = detector_postprocess(copy.deepcopy(instances), *sem_seg.shape[-2:])
    return combine_semantic_and_instance_outputs(pasted, sem_seg.argmax(0), 0.5, 32, 0.3)


def test_equal_scores_are_merged_in_the_order_of_the_detections():
    """Detectron2 sorts them in an order that argsort does not promise; here it is told."""
    sem_seg = torch.rand(12, 66, 88, generator=torch.Generator().manual_seed(0))
    merge = FusedMerge(stuff_area_limit=32, score_threshold=0.3)
    tied = detections([0.75] * 20 + [0.5] * 20)
    ids, infos = merge(copy.deepcopy(tied), sem_seg)["panoptic_seg"]
    assert [info["instance_id"] for info in infos if info["isthing"]] == sorted(
        info["instance_id"] for info in infos if info["isthing"]
    )
    told_apart = copy.deepcopy(tied)
    told_apart.scores -= torch.arange(40) * 1e-6
    expected = detectron2s(told_apart, sem_seg)
    assert torch.equal(ids, expected[0])
    keys = ("id", "isthing", "category_id")
    assert [[i[k] for k in keys] for i in infos] == [[i[k] for k in keys] for i in expected[1]]


def test_half_precision_is_merged_as_detectron2_merges_the_same_numbers_in_float32():
    """Detectron2 samples half-precision masks at coordinates that it rounds to half precision."""
    sem_seg = torch.rand(12, 66, 88, generator=torch.Generator().manual_seed(0)).half()
    merge = FusedMerge(stuff_area_limit=32, score_threshold=0.3)
    half = detections(torch.linspace(0.9, 0.4, 30).tolist(), torch.float16)
    precise = copy.deepcopy(half)
    precise.scores, precise.pred_masks = precise.scores.float(), precise.pred_masks.float()
    expected, _ = detectron2s(precise, sem_seg.float())
    found, _ = merge(half, sem_seg)["panoptic_seg"]
    assert torch.equal(found, expected)


class OwnInference(PanopticFPN):
    def inference(self, batched_inputs, do_postprocess=True):
        return []


def test_other_models_are_refused():
    message = (
        "expected a PanopticFPN, .* Mask2Former .*, or a PanopticDeepLab, found Linear; merge_"
    )
    with pytest.raises(TypeError, match=message):
        use_fused_merge(torch.nn.Linear(1, 1))
    model = lively_model(small_config("PanopticFPN"))
    model.__class__ = OwnInference
    with pytest.raises(TypeError, match="OwnInference has its own"):
        use_fused_merge(model)
    cfg = small_config("PanopticFPN")
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 9
    with pytest.raises(ValueError, match=r"NUM_CLASSES: expected the 8 things .* found 9"):
        use_fused_merge(lively_model(cfg), spec=SPEC)
    cfg = small_config("PanopticFPN")
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 13
    model = use_fused_merge(lively_model(cfg), spec=SPEC)
    with pytest.raises(ValueError, match="sem_seg: .* 12 channels .*, found 13"), torch.no_grad():
        model([photo(0)])
    cfg = small_config("PanopticFPN")
    cfg.MODEL.MASK_ON = False
    model = use_fused_merge(build_model(cfg).eval())
    with pytest.raises(ValueError, match="expected pred_masks, which MODEL.MASK_ON"):
        model([photo(0)])
