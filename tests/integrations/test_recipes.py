"""The recipes run on the containers of the libraries themselves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pps_torch import merge_panoptic_queries
from tests.docs.given import given
from tests.docs.pages import run_section

PAGE = "docs/recipes.md"


@pytest.fixture
def names() -> dict:
    """What stands before the recipes, and what stands for the containers elsewhere."""
    return run_section(PAGE, "Recipes", given(PAGE))


def test_supervision(names):
    sv = pytest.importorskip("supervision", reason="needs supervision")
    for name in ("detections", "segments"):
        fields = vars(names[name])
        names[name] = sv.Detections(xyxy=sv.mask_to_xyxy(fields["mask"]), **fields)
    run_section(PAGE, "supervision", names)


@pytest.mark.slow
def test_fiftyone(names):
    fo = pytest.importorskip("fiftyone", reason="needs FiftyOne")
    given = names["sample"]
    detections = [fo.Detection(**vars(each)) for each in given.instances.detections]
    names["sample"] = fo.Sample(
        "street.png",
        semantic=fo.Segmentation(mask=given.semantic.mask),
        instances=fo.Detections(detections=detections),
    )
    run_section(PAGE, "FiftyOne", names)


@pytest.mark.slow
def test_lightlytrain(names):
    """Its own merge of random queries, and ours, give the same map."""
    task_model = pytest.importorskip(
        "lightly_train._task_models.dinov2_eomt_panoptic_segmentation.task_model",
        reason="needs LightlyTrain",
    )
    categories = [{"id": k, "name": str(k), "isthing": int(k > 1)} for k in range(4)]
    model = SimpleNamespace(internal_ignore_class_id=4, is_stuff_class=torch.arange(4) < 2)
    merge = task_model.DINOv2EoMTPanopticSegmentation.get_image_masks_segment_ids_scores
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        class_logits = 6 * torch.randn(9, 5, generator=generator)
        mask_logits = 3 * torch.randn(9, 12, 16, generator=generator)
        masks, _, _ = merge(model, class_logits, mask_logits, 0.5, 0.5, 0.3)
        ours = merge_panoptic_queries(
            class_logits,
            mask_logits,
            thing_ids=[2, 3],
            object_mask_threshold=0.5,
            min_kept_fraction=0.3,
        )
        given = {"prediction": {"masks": masks}, "categories": categories, "pq": lambda pred: 1}
        pred = run_section(PAGE, "LightlyTrain", {**names, **given})["pred"]
        assert np.array_equal(pred.to_labels(1000) // 1000, ours.to_labels(1000) // 1000)
        assert int(pred.num_segments) == int(ours.num_segments) > 0
