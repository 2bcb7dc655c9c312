"""TAPPS' own model: its PPS maps with the fused merge, and their evaluation."""

from __future__ import annotations

import platform

import pytest
import torch
from torch import nn

from tests.real.sources import add_sources, forgotten_registrations, stand_in_for_extensions

NAME = "pps_real_tapps"
SPEC = "ppq_cpp_19_23_cvpr21_default_evalspec.yaml"
#: The contiguous classes with parts of Cityscapes, and their parts in TAPPS' numbers.
PARTS = {11: [1, 2, 3, 4], 12: [5, 6, 7, 8], 13: [9, 10, 11, 12, 13]}


@pytest.fixture(scope="module")
def tapps():
    """The module of the model. The package registers itself under Mask2Former's names."""
    for name in ("timm", "ruamel.yaml"):
        pytest.importorskip(name, reason=f"TAPPS needs {name}")
    folder = add_sources("tapps", "detectron2")
    add_sources("tapps/utils/panoptic_parts")
    stand_in_for_extensions()
    with forgotten_registrations(), pytest.MonkeyPatch.context() as patch:
        # Its panoptic_parts takes Python 3.10 and later for 3.1.
        patch.setattr(platform, "python_version", lambda: "3.7.0")
        from tapps import maskformer_model
    return maskformer_model, folder


class Parts(nn.Module):
    """In place of the part decoder: random logits for each part of each query."""

    def parts_decoder(self, queries, num_parts, features, part_ids):
        count = sum(num_parts[0])
        return torch.randn(count, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model(tapps, monkeypatch):
    from detectron2.data import MetadataCatalog
    from panoptic_parts.specs.eval_spec import PartPQEvalSpec

    module, folder = tapps
    monkeypatch.chdir(folder)  # its specs name each other from there
    path = folder / "utils/panoptic_parts/panoptic_parts/specs/eval_specs" / SPEC
    metadata = MetadataCatalog.get(NAME)
    metadata.set(
        thing_dataset_id_to_contiguous_id={24 + i: 11 + i for i in range(8)},
        train_sids_with_parts=list(PARTS),
        train_sids2train_pids=PARTS,
        eval_spec="cpp_default",
    )
    head = nn.Identity()
    head.num_classes = 19
    yield module.MaskFormer(
        backbone=nn.Identity(),
        sem_seg_head=head,
        criterion=Parts(),
        num_queries=20,
        object_mask_threshold=0.5,
        overlap_threshold=0.8,
        metadata=metadata,
        size_divisibility=32,
        sem_seg_postprocess_before_inference=True,
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        semantic_on=False,
        panoptic_on=True,
        instance_on=False,
        parts_on=True,
        test_topk_per_image=100,
        save_dir="",
        save_predictions=False,
        num_part_classes=23,
        parts_conf_threshold=0.1,
        eval_spec=PartPQEvalSpec(str(path)),
        cfg=None,
    ).eval()
    MetadataCatalog.remove(NAME)


def raw_outputs(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(8, 16, (20,), generator=generator)
    logits = torch.randn(20, 20, generator=generator)
    logits[range(20), classes] += 12
    owners = torch.randint(0, 20, (4, 6), generator=generator)
    cells = torch.where(owners == torch.arange(20)[:, None, None], 3.0, -3.0)[None]
    masks = nn.functional.interpolate(cells, (16, 24), mode="bilinear")
    return {
        "pred_logits": logits[None],
        "pred_masks": masks,
        "mask_features": torch.zeros(1, 1),
        "decoder_output": torch.zeros(1, 20, 4),
    }


def test_its_maps_are_equal_and_evaluated_as_they_are(model):
    from detectron2.data import DatasetCatalog

    from pps_torch.integrations.detectron2 import PartPanopticEvaluator, use_fused_merge

    image = {"image": torch.zeros(3, 64, 96), "height": 70, "width": 100, "image_id": "a"}

    def predict(seed: int) -> dict:
        model.sem_seg_head.forward = lambda features: raw_outputs(seed)
        with torch.no_grad():
            return model([image])[0]

    expected = [predict(seed) for seed in range(10)]
    use_fused_merge(model)
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
