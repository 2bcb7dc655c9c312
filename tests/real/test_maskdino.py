"""MaskDINO's own code beside the lines that the page gives for its merge."""

from __future__ import annotations

import torch

from tests.docs.pages import run_section
from tests.real.queries import NUM_CLASSES, PROJECTS_PAGE, scene

KEYS = ("id", "isthing", "category_id")


def test_fifty_maps_and_their_segments_are_equal(maskdino):
    mask_cls, mask_pred = scene(0)
    given = {"maskdino": maskdino, "mask_cls": mask_cls, "mask_pred": mask_pred}
    run_section(PROJECTS_PAGE, "MaskDINO, and others with scores of their own", given)
    num_segments = 0
    for seed in range(50):
        mask_cls, mask_pred = scene(seed, num_labels=NUM_CLASSES)
        mask_cls = mask_cls - 5  # some queries are dropped
        expected_map, expected_infos = type(maskdino).panoptic_inference(
            maskdino, mask_cls, mask_pred
        )
        found_map, found_infos = maskdino.panoptic_inference(mask_cls, mask_pred)
        assert torch.equal(found_map, expected_map), seed
        assert [{key: info[key] for key in KEYS} for info in found_infos] == expected_infos
        num_segments += len(expected_infos)
    assert num_segments > 100
