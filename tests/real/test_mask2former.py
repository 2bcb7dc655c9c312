"""Mask2Former's own code: its maps, its segments, and what holds in half precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.real.sources import add_sources, stand_in_for_extensions

NUM_CLASSES, THINGS = 7, (0, 2, 5)


@pytest.fixture(scope="module")
def project():
    """The package of Mask2Former, and a data set of seven classes."""
    pytest.importorskip("timm", reason="Mask2Former needs timm")
    add_sources("Mask2Former", "detectron2")
    stand_in_for_extensions()
    import mask2former
    from detectron2.data import MetadataCatalog

    contiguous = {100 + index: index for index in THINGS}
    MetadataCatalog.get("pps_real").set(thing_dataset_id_to_contiguous_id=contiguous)
    yield mask2former
    MetadataCatalog.remove("pps_real")


@pytest.fixture
def model(project):
    """The architecture with a head that returns what it is given, and thresholds as published."""
    from detectron2.data import MetadataCatalog

    head = nn.Identity()
    head.num_classes = NUM_CLASSES
    return project.MaskFormer(
        backbone=nn.Identity(),
        sem_seg_head=head,
        criterion=None,
        num_queries=40,
        object_mask_threshold=0.5,
        overlap_threshold=0.8,
        metadata=MetadataCatalog.get("pps_real"),
        size_divisibility=32,
        sem_seg_postprocess_before_inference=True,
        pixel_mean=[0.0, 0, 0],
        pixel_std=[1.0, 1, 1],
        semantic_on=False,
        panoptic_on=True,
        instance_on=False,
        test_topk_per_image=100,
    ).eval()


def scene(seed: int, size: tuple[int, int] = (64, 96)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, NUM_CLASSES + 1, (40,), generator=generator)
    mask_cls = torch.randn(40, NUM_CLASSES + 1, generator=generator)
    mask_cls[range(40), classes] += 9 * torch.rand(40, generator=generator)
    owners = torch.randint(0, 40, (1, 8, 12), generator=generator) // 2
    cells = torch.where(owners == torch.arange(40)[:, None, None] // 2, 2.0, -3)[:, None]
    cells = cells + 0.5 * torch.randn(40, 1, 8, 12, generator=generator)
    return mask_cls, nn.functional.interpolate(cells, size, mode="bilinear")[:, 0]


def test_fifty_maps_and_their_segments_are_equal(model):
    from pps_torch.integrations.detectron2 import use_fused_merge

    theirs = [model.panoptic_inference(*scene(seed)) for seed in range(50)]
    assert use_fused_merge(model) is model
    num_segments = 0
    for seed, (expected_map, expected_infos) in enumerate(theirs):
        found_map, found_infos = model.panoptic_inference(*scene(seed))
        assert found_map.dtype == expected_map.dtype and torch.equal(found_map, expected_map)
        assert [list(i.items()) for i in found_infos] == [list(i.items()) for i in expected_infos]
        num_segments += len(expected_infos)
    assert num_segments > 200


def test_the_whole_model_has_the_same_outputs(model):
    from pps_torch.integrations.detectron2 import use_fused_merge

    mask_cls, mask_pred = scene(3, (32, 48))
    outputs = {"pred_logits": mask_cls[None], "pred_masks": mask_pred[None]}
    model.sem_seg_head.forward = lambda features: dict(outputs)
    image = {"image": torch.zeros(3, 120, 170), "height": 130, "width": 190}
    expected = model([image])[0]["panoptic_seg"]
    found = use_fused_merge(model)([image])[0]["panoptic_seg"]
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_merged_as_mask2former_merges_the_same_numbers_in_float32(model, dtype):
    """Under autocast Mask2Former multiplies rounded mask probabilities, so its maps differ."""
    from pps_torch.integrations.detectron2 import use_fused_merge

    scenes = [[logits.to(dtype) for logits in scene(seed)] for seed in range(20)]
    precise = [model.panoptic_inference(*(x.float() for x in s))[0] for s in scenes]
    rounded = [model.panoptic_inference(*s)[0] for s in scenes]
    use_fused_merge(model)
    found = [model.panoptic_inference(*s)[0] for s in scenes]
    assert all(map(torch.equal, found, precise))
    differing = sum(int((a != b).sum()) for a, b in zip(found, rounded))
    assert 0 < differing < 0.2 * sum(map(torch.numel, found))


def test_equal_products_go_to_the_first_query(model):
    from pps_torch.integrations.detectron2 import use_fused_merge

    mask_cls, mask_pred = scene(1)
    mask_cls, mask_pred = mask_cls.repeat(2, 1), mask_pred.repeat(2, 1, 1)
    expected = model.panoptic_inference(mask_cls, mask_pred)
    found = use_fused_merge(model).panoptic_inference(mask_cls, mask_pred)
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]
