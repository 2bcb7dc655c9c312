"""The oracles answer every golden case as the public implementations did."""

from __future__ import annotations

import numpy as np
import pytest

from pps_torch import EvalSpec
from tests.golden import cases
from tests.oracles.merge_panoptic import merge_panoptic
from tests.oracles.merge_pps import merge_pps
from tests.oracles.merge_queries import merge_panoptic_queries
from tests.oracles.panoptic_quality import add_stats, average, panoptic_quality
from tests.oracles.part_panoptic_quality import part_panoptic_quality
from tests.oracles.paste_masks import paste_mask, paste_masks
from tests.oracles.uids import decode_uid, encode_uid


@pytest.mark.parametrize("spec_name", cases.SPECS)
def test_part_pq_as_panoptic_parts(spec_name):
    spec, total = EvalSpec.load(spec_name), {}
    for name, pps, uids, expected in cases.part_pq_images(spec_name):
        stats = part_panoptic_quality(pps, uids, spec)
        add_stats(total, stats)
        assert stats.keys() == expected.keys()
        for sid, (iou, *counts) in expected.items():
            assert stats[sid][1:] == counts, (name, sid)
            assert stats[sid][0] == pytest.approx(iou, abs=1e-12), (name, sid)

    summary = cases.part_pq_total(spec_name)["summary"]
    groups = zip(summary, (list(spec.scene_labels), spec.parts, spec.no_parts))
    for group, sids in groups:
        assert average(total, sids) == pytest.approx(tuple(group.values()), abs=1e-12)


def test_pq_as_panopticapi():
    total, expected = {}, cases.pq_expected()
    for pred_ids, pred_segments, gt_ids, gt_segments in cases.pq_images():
        add_stats(total, panoptic_quality(pred_ids, pred_segments, gt_ids, gt_segments))
    for category, (iou, *counts) in expected["iou_tp_fp_fn"].items():
        found = total.get(int(category), [0.0, 0, 0, 0])
        assert found[1:] == counts and found[0] == pytest.approx(iou, abs=1e-12)

    categories = cases.pq_categories()
    groups = {"All": (0, 1), "Things": (1,), "Stuff": (0,)}
    for group, isthing in groups.items():
        members = [c["id"] for c in categories if c["isthing"] in isthing]
        assert average(total, members) == pytest.approx(tuple(expected[group].values()), abs=1e-12)


@pytest.mark.parametrize(
    ("spec_name", "instance_format"),
    [
        *((name, "Cityscapes") for name in cases.SPECS),
        ("ppp_default", "COCO"),
        pytest.param("cpp_default", "COCO", marks=pytest.mark.slow),
        pytest.param("cpp_grouped", "COCO", marks=pytest.mark.slow),
    ],
)
def test_merges_as_panoptic_parts(spec_name, instance_format):
    spec = EvalSpec.load(spec_name)
    for case in cases.merging_images(spec_name, instance_format):
        panoptic, segments = merge_panoptic(
            case["sem_seg"], case["masks"], case["scores"], case["classes"],
            stuff_ids=spec.stuff, stuff_area_limit=1024,
        )  # fmt: skip
        categories = {s["id"]: s["category_id"] for s in segments}
        ids, found = cases.number_by_first_appearance(panoptic, categories)
        assert np.array_equal(ids, case["panoptic"]) and found == case["categories"]
        if instance_format == "COCO":
            pps = merge_pps(panoptic, list(categories.values()), case["parts"], spec)
            assert np.array_equal(pps, case["pps"])


def check_detectron2_segments(segments: list[dict], expected: list[dict]) -> None:
    for ours, theirs in zip(segments, expected, strict=True):
        assert all(ours[k] == theirs[k] for k in ("id", "isthing", "category_id"))
        assert ours["isthing"] or ours["area"] == theirs["area"]
        assert not ours["isthing"] or ours["source"] == theirs["instance_id"]


def detectron2_stuff(sem_seg: np.ndarray) -> list[int]:
    """Every semantic label but 0, which stands for all things."""
    return [label for label in np.unique(sem_seg).tolist() if label != 0]


def test_merge_as_detectron2():
    for case in cases.npz_cases("detectron2_combine"):
        thresholds = {
            k: case[k] for k in ("overlap_threshold", "stuff_area_limit", "score_threshold")
        }
        panoptic, segments = merge_panoptic(
            case["sem_seg"], case["masks"], case["scores"], case["classes"],
            stuff_ids=detectron2_stuff(case["sem_seg"]), **thresholds,
        )  # fmt: skip
        assert np.array_equal(panoptic, case["panoptic_seg"])
        check_detectron2_segments(segments, case["segments_info"])


@pytest.mark.parametrize("num_masks", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_paste_as_detectron2(num_masks):
    for case in list(cases.npz_cases("detectron2_paste"))[:2]:
        kept = slice(0, num_masks)
        probs = paste_masks(case["mask_probs"][kept], case["boxes"][kept], *case["sem_seg"].shape)
        differs = (probs >= case["mask_threshold"]) != case["pasted"][kept]
        assert np.abs(probs[differs] - case["mask_threshold"]).max(initial=0) < 1e-5


def test_paste_of_a_constant_mask_fades_out_half_a_cell_beyond_the_box():
    # 2 x 2 cells of 4 pixels: full value from the first cell's centre, half at the box edge
    row = paste_mask(np.ones((2, 2)), np.array([4.0, -100, 12, 300]), 1, 16)[0]
    assert (row * 8).round(4).tolist() == [0, 0, 1, 3, 5, 7, 8, 8, 8, 8, 7, 5, 3, 1, 0, 0]


def test_merge_queries_as_mask2former():
    for case in cases.npz_cases("mask2former"):
        panoptic, segments = merge_panoptic_queries(
            case["class_logits"],
            case["mask_logits"].astype(np.float32),
            thing_ids=case["thing_classes"],
            object_mask_threshold=case["object_mask_threshold"],
            min_kept_fraction=case["overlap_threshold"],
        )
        assert np.array_equal(panoptic, case["panoptic_seg"])
        keys = ("id", "isthing", "category_id")
        assert [{k: s[k] for k in keys} for s in segments] == case["segments_info"]


@pytest.mark.parametrize(
    "uid, levels",
    [
        (7, (7, -1, -1)),
        (24, (24, -1, -1)),
        (24003, (24, 3, -1)),
        (1000, (1, 0, -1)),
        (2400302, (24, 3, 2)),
        (2400300, (24, 3, 0)),
        (100000, (1, 0, 0)),
    ],
)
def test_uid_digits(uid, levels):
    assert decode_uid(uid) == levels and encode_uid(*levels) == uid
