"""Panoptic-DeepLab of Detectron2's projects: all outputs with the fused merge are its own."""

from __future__ import annotations

import copy

import torch
from torch import nn

from tests.docs.pages import run_section
from tests.real.queries import PROJECTS_PAGE


def photo(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(1, 3, 6, 9, generator=generator) * 255
    image = nn.functional.interpolate(cells, (96, 144), mode="bicubic")[0].clamp(0, 255)
    return {"image": image, "height": 100, "width": 150 + seed}


def test_labels_logits_and_instances_are_equal(panoptic_deeplab):
    from pps_torch.integrations.detectron2 import use_fused_merge

    fused = use_fused_merge(copy.deepcopy(panoptic_deeplab))
    num_things = num_stuff = 0
    for seed in range(5):
        with torch.no_grad():
            (expected,), (found,) = panoptic_deeplab([photo(seed)]), fused([photo(seed)])
        assert list(found) == list(expected)
        assert torch.equal(found["sem_seg"], expected["sem_seg"])
        labels, infos = found["panoptic_seg"]
        assert infos is None and labels.dtype == expected["panoptic_seg"][0].dtype
        assert torch.equal(labels, expected["panoptic_seg"][0])
        for name, value in expected["instances"].get_fields().items():
            other = found["instances"].get(name)
            value, other = (getattr(field, "tensor", field) for field in (value, other))
            assert value.dtype == other.dtype
            if name == "scores":
                assert torch.allclose(value, other, atol=1e-5)
            else:
                assert torch.equal(value, other), name
        num_things += len(found["instances"])
        num_stuff += len({int(label) for label in labels.unique() if label % 1000 == 0})
    assert num_things > 10 and num_stuff > 5


def test_what_the_page_says(panoptic_deeplab):
    image = photo(0)["image"]
    with torch.no_grad():
        (expected,) = panoptic_deeplab([{"image": image, "height": 100, "width": 150}])
        given = {"panoptic_deeplab": panoptic_deeplab, "image": image}
        names = run_section(PROJECTS_PAGE, "Panoptic-DeepLab", given)
    assert names["no_list"] is None and torch.equal(names["labels"], expected["panoptic_seg"][0])
