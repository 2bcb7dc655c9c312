"""The records of segments: their sums are the metric's, and each says what happened."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
)
from pps_torch.metrics import counts_by_class, record_segments, segment_records
from pps_torch.metrics.segment_records import VERDICTS
from tests.factories import CATEGORIES, panoptic_pair, pps_pair, specs

SPECS = specs()
CPP = EvalSpec.load("cpp_default")


def expect_sums(metric, records):
    """The sums of the records equal what the metric computes, the IoU sums to the last bit."""
    segments = [segment for record in records for segment in record.segments]
    part_aware = isinstance(metric, PartPanopticQuality)
    expected = {
        class_id: (row["iou"], row["tp"], row["fp"], row["fn"])
        for class_id, row in metric.compute().per_class.items()
        if row["tp"] + row["fp"] + row["fn"]
    }
    assert counts_by_class(segments, part_aware=part_aware) == expected


def expect_consistent(record, pred_map, gt_map):
    """Areas are those of the maps, matches are mutual, parts have the mean that counted."""
    areas = [torch.bincount(m.flatten(), minlength=1000).tolist() for m in (pred_map, gt_map)]
    by_index = {(s.is_gt, s.index): s for s in record.segments}
    assert len(by_index) == len(record.segments)
    for segment in record.segments:
        assert areas[segment.is_gt][segment.index] == segment.area > 0
        assert (segment.verdict == "tp") == (segment.match is not None) == (segment.iou is not None)
        if segment.match is not None:
            partner = by_index[not segment.is_gt, segment.match]
            assert partner.match == segment.index and partner.class_id == segment.class_id
            assert (partner.iou, partner.part_iou) == (segment.iou, segment.part_iou)
            assert segment.taken_for == segment.class_id or not segment.is_gt
        if segment.part_ious:
            assert segment.is_gt, "sums over parts count a match once"
            mean = sum(segment.part_ious.values()) / len(segment.part_ious)
            assert segment.part_iou == pytest.approx(mean, abs=1e-15)
        assert 0 < segment.taken_share <= 1


def test_no_search_for_cycles_among_the_records(monkeypatch):
    make, searches = segment_records._records_of_map, []

    def spy(*arguments):
        searches.append(gc.isenabled())
        return make(*arguments)

    monkeypatch.setattr(segment_records, "_records_of_map", spy)
    maps = map(torch.from_numpy, pps_pair(np.random.default_rng(0), (9, 14), CPP))
    PartPanopticQuality(CPP).record_segments(*maps)
    assert searches == [False, False] and gc.isenabled()


@pytest.mark.parametrize("spec_name", SPECS)
def test_sums_of_part_records_are_those_of_the_metric(spec_name, device):
    spec, rng = SPECS[spec_name], np.random.default_rng(1)
    metric, plain = (PartPanopticQuality(spec).to(device) for _ in range(2))
    records, verdicts = [], set()
    for _ in range(5):
        pairs = [pps_pair(rng, (9, 14), spec) for _ in range(2)]
        pps, uids = (torch.from_numpy(np.stack(maps)).to(device) for maps in zip(*pairs))
        batch = metric.record_segments(pps, uids)
        plain.update(pps, uids)
        maps = metric.segment_maps(pps, uids)
        for record, pred_map, gt_map in zip(batch, *maps):
            expect_consistent(record, pred_map.cpu(), gt_map.cpu())
            evaluated = sum(s.area for s in record.segments if s.is_gt and s.verdict != "crowd")
            assert int(record.confused_pixels.sum()) == evaluated
        records += batch
        verdicts |= {s.verdict for record in batch for s in record.segments}
    expect_sums(metric, records)
    assert torch.equal(metric.class_sums, plain.class_sums)
    assert {"tp", "fp", "fn"} <= verdicts


def test_sums_of_panoptic_records_are_those_of_the_metric(device):
    rng, metric = np.random.default_rng(2), PanopticQuality(CATEGORIES).to(device)
    records = []
    for _ in range(25):
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, (9, 14))
        pred_ids, gt_ids = (torch.from_numpy(ids).to(device) for ids in (pred_ids, gt_ids))
        pred = PanopticSegmentation.from_segments(pred_ids, pred_segments)
        target = PanopticTarget.from_segments(gt_ids, gt_segments)
        (record,) = metric.record_segments(pred, target)
        expect_consistent(record, *(m.cpu() for m in metric.segment_maps(pred, target)))
        assert all(s.part_iou is None and not s.part_ious for s in record.segments)
        records.append(record)
    expect_sums(metric, records)
    assert {s.verdict for r in records for s in r.segments} == set(VERDICTS)


@pytest.mark.parametrize("kind", [ModifiedPanopticQuality, BoundaryPanopticQuality])
def test_records_of_pq_dagger_and_boundary_pq(kind, device):
    """Those of PQ, and those of the boundaries: verdicts, IoUs and sums."""
    rng, metric = np.random.default_rng(4), kind(CATEGORIES).to(device)
    plain, pq, records, pq_records = (
        kind(CATEGORIES).to(device),
        PanopticQuality(CATEGORIES).to(device),
        [],
        [],
    )
    for _ in range(30):
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, (9, 14))
        pred_ids, gt_ids = (torch.from_numpy(ids).to(device) for ids in (pred_ids, gt_ids))
        pred = PanopticSegmentation.from_segments(pred_ids, pred_segments)
        target = PanopticTarget.from_segments(gt_ids, gt_segments)
        plain.update(pred, target)
        (record,) = metric.record_segments(pred, target)
        maps = metric.segment_maps(pred, target)
        expect_consistent(record, *(m.cpu() for m in maps))
        records.append(record)
        pq_records += pq.record_segments(pred, target)
    assert all(
        torch.equal(value, plain.state_dict()[name]) for name, value in metric.state_dict().items()
    )
    if kind is ModifiedPanopticQuality:
        assert [r.segments for r in records] == [r.segments for r in pq_records]
        return
    segments = [segment for record in records for segment in record.segments]
    expected = {
        class_id: c.boundary_counts
        for class_id, c in metric.compute().classes.items()
        if c.boundary_counts.is_present
    }
    assert counts_by_class(segments, part_aware=False) == expected
    verdicts = [
        (s.verdict, pq_segment.verdict)
        for record, pq_record in zip(records, pq_records)
        for s, pq_segment in zip(record.segments, pq_record.segments, strict=True)
    ]
    assert {("tp", "tp"), ("fn", "tp"), ("fp", "tp")} <= set(verdicts)


def test_each_record_says_what_happened():
    """Road; a car found, a car taken for a person; an invented sky; a person on void."""
    # road road car1 car1 car2 car2 void void | road sky car1 car1 person person person2 void
    gt_uids = torch.tensor([[7, 7, 26_001_02, 26_001_05, 26_002_01, 26_002_01, 0, 0]])
    pps = torch.tensor(
        [
            [7, 23, 26, 26, 24, 24, 24, 255],
            [0, 0, 4, 4, 1, 1, 2, 0],
            [1, 1, 2, 1, 1, 1, 1, 255],
        ]
    ).view(3, 1, 8)
    (record,) = PartPanopticQuality(CPP).record_segments(pps, gt_uids)
    rows = [(s.is_gt, s.class_id, s.instance, s.area, s.verdict) for s in record.segments]
    assert rows == [
        (True, 7, 0, 2, "fn"),
        (True, 26, 1, 2, "tp"),
        (True, 26, 2, 2, "fn"),
        (False, 7, 0, 1, "fp"),
        (False, 23, 0, 1, "fp"),
        (False, 24, 1, 2, "fp"),
        (False, 24, 2, 1, "ignored"),
        (False, 26, 4, 2, "tp"),
    ]
    car = record.segments[1]
    # Part 2 is right; 5 is missed; 1 is invented; the other pixels are background in both maps.
    assert car.part_ious == {0: 1.0, 1: 0.0, 2: 1.0, 5: 0.0} and car.part_iou == 0.5
    assert (car.iou, car.taken_for, record.segments[2].taken_for) == (1.0, 26, 24)
    confused = {
        (CPP.eval_sids[i], (*CPP.eval_sids, None)[j]): int(record.confused_pixels[i, j])
        for i, j in record.confused_pixels.nonzero().tolist()
    }
    assert confused == {(7, 7): 1, (7, 23): 1, (26, 26): 2, (26, 24): 2}


def test_stuff_without_instance_has_instance_0_and_a_crowd_of_things_none():
    gt_uids = torch.tensor([[7, 7_000, 7_005, 26, 26_000]])  # absent and 0 are one segment of stuff
    pps = torch.tensor([255, 0, 255]).view(3, 1, 1).expand(3, 1, 5)
    (record,) = PartPanopticQuality(CPP).record_segments(pps, gt_uids)
    rows = [(s.class_id, s.instance, s.area) for s in record.segments]
    assert rows == [(7, 0, 2), (7, 5, 1), (26, 0, 1), (26, None, 1)]


def test_records_are_as_strict_as_the_metric():
    metric = PartPanopticQuality(CPP, validate=True)
    with pytest.raises(ValueError, match="three-digit"):
        metric.record_segments(torch.zeros(3, 1, 1).long(), torch.tensor([[261]]))
    with pytest.raises(ValueError, match="^target: expected shape"):
        metric.record_segments(torch.zeros(3, 1, 1).long(), torch.zeros(1).long())
    with pytest.raises(
        TypeError, match="metric: expected one that counts segments, found a Linear"
    ):
        record_segments(torch.nn.Linear(1, 1), torch.zeros(3, 1, 1), torch.zeros(1, 1))


def test_ground_truth_that_the_rules_forgive_is_no_crowd():
    road = [{"id": 1, "category_id": 7}]
    pred = PanopticSegmentation.from_segments(torch.zeros(1, 4, dtype=torch.int32), [])
    target = PanopticTarget.from_segments(torch.ones(1, 4, dtype=torch.int32), road)
    verdicts = {}
    for rules in ("coco", "torchmetrics"):
        metric = PanopticQuality(CPP, rules=rules)
        (record,) = metric.record_segments(pred, target)
        verdicts[rules] = record.segments[0].verdict
        assert counts_by_class(record.segments, part_aware=False).get(7, (0,) * 4)[3] == (
            rules == "coco"
        )
    assert verdicts == {"coco": "fn", "torchmetrics": "ignored"}
