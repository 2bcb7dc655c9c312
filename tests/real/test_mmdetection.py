"""mmdetection's own metric and fusion head beside ours; mmcv-lite is enough."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import ids_to_rgb, merge_panoptic_queries
from tests.real.sources import add_sources, stand_in_for_ops_of_mmcv

META = {
    "classes": ("person", "dog", "wall"),
    "thing_classes": ("person", "dog"),
    "stuff_classes": ("wall",),
}
CATEGORIES = [
    {"id": 0, "name": "person", "isthing": 1},
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 2, "name": "dog", "isthing": 1},
    {"id": 3, "name": "wall", "isthing": 0},
]
CATEGORY_OF_CLASS = (0, 2, 3)
SIZE = (60, 80)


@pytest.fixture(scope="module")
def mmdet():
    pytest.importorskip("mmdet", reason="needs mmdet")
    add_sources("panopticapi")
    stand_in_for_ops_of_mmcv()
    import mmdet.evaluation

    return mmdet


def test_the_offset_of_instances(mmdet):
    from pps_torch.integrations.mmdetection import INSTANCE_OFFSET

    assert mmdet.evaluation.functional.INSTANCE_OFFSET == INSTANCE_OFFSET


def labels_and_truth(rng) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """Predicted labels with void, and ids of the ground truth with a crowd of persons."""
    pred, truth, infos = np.full(SIZE, 2), np.full(SIZE, 1), [{"id": 1, "category": 2}]
    for number in range(6):
        y, x, h, w = rng.integers(0, 40, 2).tolist() + rng.integers(8, 20, 2).tolist()
        label, category = rng.integers(0, 2, 2)
        truth[y : y + h, x : x + w] = number + 2
        pred[y + 1 : y + h, x : x + w + 1] = (number + 1) * 1000 + label
        infos.append({"id": number + 2, "category": int(category), "is_thing": number != 3})
    pred[:3], truth[-4:] = 3, 0
    infos = [info for info in infos if (truth == info["id"]).any()]
    return pred, truth, [{"is_thing": False, **info} for info in infos]


@pytest.fixture
def images(tmp_path):
    """Ground truth as files, and the samples that a data loader and a model would give."""
    rng, annotations, samples = np.random.default_rng(0), [], []
    for image_id in range(12):
        pred, truth, infos = labels_and_truth(rng)
        name = f"{image_id:012d}.png"
        Image.fromarray(ids_to_rgb(torch.from_numpy(truth)).numpy()).save(tmp_path / name)
        annotations.append(
            {
                "image_id": image_id,
                "file_name": name,
                "segments_info": [
                    {
                        "id": info["id"],
                        "category_id": CATEGORY_OF_CLASS[info["category"]],
                        "iscrowd": int(info["category"] < 2 and not info["is_thing"]),
                        "area": int((truth == info["id"]).sum()),
                        "bbox": [0, 0, 1, 1],
                    }
                    for info in infos
                ],
            }
        )
        samples.append(
            {
                "img_id": image_id,
                "ori_shape": SIZE,
                "img_path": f"xxx/{image_id:012d}.jpg",
                "segments_info": infos,
                "seg_map_path": str(tmp_path / name),
                "pred_panoptic_seg": {"sem_seg": torch.from_numpy(pred)[None]},
            }
        )
    images = [
        {"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": f"{i:012d}.jpg"}
        for i in range(len(samples))
    ]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    return SimpleNamespace(folder=tmp_path, samples=samples, json=str(tmp_path / "gt.json"))


def evaluate(metric, samples) -> dict[str, float]:
    metric.dataset_meta = META
    for start in range(0, len(samples), 5):
        batch = samples[start : start + 5]
        metric.process({}, [{**sample, "pred_panoptic_seg": cloned(sample)} for sample in batch])
    return metric.evaluate(size=len(samples))


def cloned(sample: dict) -> dict:
    """Of the predictions, which mmdetection's metric overwrites."""
    return {"sem_seg": sample["pred_panoptic_seg"]["sem_seg"].clone()}


@pytest.mark.parametrize("with_json", [True, False])
def test_the_metric_of_a_configuration_gives_the_numbers_of_coco_panoptic_metric(
    mmdet, images, with_json
):
    from mmdet.registry import METRICS

    import pps_torch.integrations.mmdetection_metric  # noqa: F401

    options = {"ann_file": images.json if with_json else None, "seg_prefix": str(images.folder)}
    theirs = mmdet.evaluation.CocoPanopticMetric(nproc=1, **options)
    ours = METRICS.build({"type": "PPSPanopticMetric", **options})
    expected, found = (evaluate(metric, images.samples) for metric in (theirs, ours))
    assert found == pytest.approx(expected, abs=1e-9, rel=0) and list(found) == list(expected)
    assert 0 < found["coco_panoptic/PQ_th"] < 100


def test_the_names_of_the_pngs_are_those_in_the_json(mmdet, images):
    from pps_torch.integrations.mmdetection_metric import PPSPanopticMetric

    renamed = [{**sample, "img_path": "a/photo.jpeg"} for sample in images.samples]
    found = evaluate(PPSPanopticMetric(images.json, str(images.folder)), renamed)
    assert found == evaluate(PPSPanopticMetric(images.json, str(images.folder)), images.samples)
    with pytest.raises((FileNotFoundError, ValueError), match="photo.jpeg"):
        evaluate(PPSPanopticMetric(seg_prefix=str(images.folder)), renamed)


def test_what_is_not_there_is_named(mmdet, images):
    from pps_torch.integrations.mmdetection_metric import PPSPanopticMetric
    from pps_torch.io.errors import InputError

    with pytest.raises(InputError, match="seg_prefix: expected the folder .*, found None"):
        PPSPanopticMetric()
    metric = PPSPanopticMetric(images.json, str(images.folder))
    with pytest.raises(InputError, match="gt.json: expected an annotation of image 99"):
        evaluate(metric, [{**images.samples[0], "img_id": 99}])
    metric.dataset_meta = {**META, "classes": ("person", "cow", "wall")}
    with pytest.raises(InputError, match=r"categories: expected \['cow'\], found \['person'"):
        metric.process({}, images.samples[:1])


def test_without_an_image_there_are_no_numbers(mmdet, images):
    from pps_torch.integrations.mmdetection_metric import PPSPanopticMetric

    found = evaluate(PPSPanopticMetric(images.json, str(images.folder)), [])
    assert all(math.isnan(value) for value in found.values()) and "coco_panoptic/PQ" in found


@pytest.mark.parametrize("filter_low_score", [False, True])
def test_the_fusion_head_of_mask2former_paints_the_same_300_maps(mmdet, filter_low_score):
    from mmdet.models.seg_heads.panoptic_fusion_heads.maskformer_fusion_head import (
        MaskFormerFusionHead,
    )

    from pps_torch.integrations.mmdetection import to_mmdetection

    head = SimpleNamespace(
        num_classes=7,
        num_things_classes=4,
        test_cfg={"iou_thr": 0.5, "object_mask_thr": 0.5, "filter_low_score": filter_low_score},
    )
    paint = "confident" if filter_low_score else "argmax"
    num_segments = 0
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randint(0, 8, (12,), generator=generator)
        mask_cls = torch.randn(12, 8, generator=generator)
        mask_cls[range(12), classes] += 7
        owners = torch.randint(0, 12, (5, 7), generator=generator) // 2
        cells = torch.where(owners == torch.arange(12)[:, None, None] // 2, 1.0, -2.0)[None]
        cells = cells + torch.randn(cells.shape, generator=generator)
        (mask_pred,) = torch.nn.functional.interpolate(cells, (20, 28), mode="bilinear")
        expected = MaskFormerFusionHead.panoptic_postprocess(head, mask_cls, mask_pred).sem_seg
        merged = merge_panoptic_queries(
            mask_cls,
            mask_pred,
            thing_ids=range(4),
            object_mask_threshold=0.5,
            min_kept_fraction=0.5,
            paint=paint,
        )
        found = to_mmdetection(merged, num_classes=7)
        if filter_low_score:  # a query without confident pixels still counts there
            assert torch.equal(found % 1000, expected[0] % 1000), seed
        else:
            assert torch.equal(found, expected[0]), seed
        num_segments += int(merged.num_segments)
    assert num_segments > 600
