"""Networks and their merge: one program where the network can be exported, else two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pps_torch
from tests.graph.cases import assert_same
from tests.graph.programs import SPEC

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on"),
]


def test_mask2former_and_its_merge_are_one_program(tmp_path):
    transformers = pytest.importorskip("transformers")
    backbone = {
        "model_type": "swin",
        "embed_dim": 12,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    widths = dict.fromkeys(["hidden_dim", "feature_size", "mask_feature_size"], 32)
    layers = {"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2}
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, num_queries=8, num_labels=3, **widths, **layers
    )

    class Panoptic(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = transformers.Mask2FormerForUniversalSegmentation(config)
            self.merge = pps_torch.QueryPanopticMerger(
                [0, 1], object_mask_threshold=0.2, min_kept_fraction=0.1
            )

        def forward(self, photo):
            outputs = self.model(pixel_values=photo)
            logits = outputs.class_queries_logits, outputs.masks_queries_logits
            return self.merge(*logits, photo.shape[-2:])

    torch.manual_seed(0)
    model, photos = Panoptic().eval(), torch.rand(2, 1, 3, 64, 96)
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (photos[0],)), tmp_path / "model.pt2")
        program = torch.export.load(tmp_path / "model.pt2").module()
        for photo in photos:
            expected = model(photo)
            assert expected.num_segments.sum() > 0
            assert_same(program(photo), expected)


class FromFeatures(pps_torch.PPSPostProcessor):
    """A semantic head, a part head, and the merge of all heads."""

    def __init__(self, size):
        super().__init__(SPEC, score_threshold=0.1, stuff_area_limit=16)
        self.semantic_head, self.part_head = nn.Conv2d(256, 19, 1), nn.Conv2d(256, 24, 1)
        self.size = size

    def forward(self, features, masks, boxes, scores, labels):
        instances = (masks[:, :, 0], boxes, scores, labels - 1)
        heads = self.semantic_head(features), *instances, self.part_head(features)
        return super().forward(*heads, self.size)


def test_mask_rcnn_and_the_program_of_its_merge():
    """torchvision's network cannot be exported: it asks how many boxes there are."""
    detection = pytest.importorskip("torchvision.models.detection")
    from torchvision.models.detection.image_list import ImageList

    torch.manual_seed(0)
    detector = detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=9,
        box_score_thresh=0.0,
        box_detections_per_img=20,
        rpn_post_nms_top_n_test=50,
    ).eval()
    merge = FromFeatures((64, 96)).eval()

    def heads(photo):
        features = detector.backbone(photo)
        images = ImageList(photo, [(64, 96)])
        proposals, _ = detector.rpn(images, features)
        (found,), _ = detector.roi_heads(features, proposals, images.image_sizes)
        names = ("masks", "boxes", "scores", "labels")
        return features["0"], *(found[name][None] for name in names)

    some = {1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        first = heads(torch.rand(1, 3, 64, 96))
        program = torch.export.export(merge, first, dynamic_shapes=({}, some, some, some, some))
        for photo in torch.rand(2, 1, 3, 64, 96):
            inputs = heads(photo)
            assert_same(program.module()(*inputs), merge(*inputs))
        fewer = (inputs[0], *(values[:, :3] for values in inputs[1:]))
        assert_same(program.module()(*fewer), merge(*fewer))
