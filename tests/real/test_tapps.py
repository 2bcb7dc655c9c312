"""TAPPS' own model: its PPS maps with the fused merge, and their evaluation."""

from __future__ import annotations

import torch

from tests.docs.pages import run_section
from tests.real.queries import PROJECTS_PAGE
from tests.real.tapps_model import NAME, raw_outputs


def test_its_maps_are_equal_and_evaluated_as_they_are(tapps):
    from detectron2.data import DatasetCatalog

    from pps_torch.integrations.detectron2 import PartPanopticEvaluator, use_fused_merge

    image = {"image": torch.zeros(3, 64, 96), "height": 70, "width": 100, "image_id": "a"}

    def predict(seed: int) -> dict:
        tapps.sem_seg_head.forward = lambda features: raw_outputs(seed)
        with torch.no_grad():
            return tapps([image])[0]

    expected = [predict(seed) for seed in range(10)]
    use_fused_merge(tapps)
    found = [predict(seed) for seed in range(10)]
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours["panoptic_seg"][0], theirs["panoptic_seg"][0])
        assert ours["panoptic_seg"][1] == theirs["panoptic_seg"][1]
        assert all(map(torch.equal, ours["pps"], theirs["pps"]))
    sids, iids, pids = expected[0]["pps"]
    uids = torch.where(sids == 255, 0, torch.where(sids > 23, sids * 1000 + iids, sids))
    uids = torch.where((pids < 255) & (sids > 23), uids * 100 + pids, uids)
    DatasetCatalog.register(NAME, lambda: [image])
    try:
        evaluator = PartPanopticEvaluator(NAME)
        evaluator.process([{**image, "pps_gt": uids}], [expected[0]])
        assert evaluator.evaluate()["part_panoptic_seg"]["PQ"] == 100
    finally:
        DatasetCatalog.remove(NAME)


def test_what_the_page_says(tapps):
    from detectron2.data import DatasetCatalog

    image = torch.zeros(3, 64, 96)
    tapps.sem_seg_head.forward = lambda features: raw_outputs(0)
    expected = tapps([{"image": image, "height": 100, "width": 150}])[0]["pps"]
    DatasetCatalog.register(NAME, lambda: [{"image_id": "ulm_000000_000019"}])
    try:
        given = {"tapps": tapps, "tapps_val": NAME, "image": image}
        names = run_section(PROJECTS_PAGE, "TAPPS", given)
        (listed,) = DatasetCatalog.get(NAME)
    finally:
        DatasetCatalog.remove(NAME)
    assert all(map(torch.equal, names["pps"], expected))
    assert listed["pps_file_name"].endswith("val/ulm/ulm_000000_000019_gtFinePanopticParts.tif")
