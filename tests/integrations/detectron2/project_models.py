"""Small models with what pps_torch looks for in those of other projects."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from tests.oracles.merge_queries import merge_panoptic_queries as oracle

CPU = torch.device("cpu")
KEYS = ("id", "isthing", "category_id")


class Queries(nn.Module):
    """The attributes of Mask2Former's model, and its rule in slow NumPy."""

    device = CPU
    object_mask_threshold, overlap_threshold = 0.8, 0.7

    def __init__(self) -> None:
        super().__init__()
        self.sem_seg_head = SimpleNamespace(num_classes=9)
        things = {10: 0, 20: 3, 30: 5}
        self.metadata = SimpleNamespace(thing_dataset_id_to_contiguous_id=things)

    def panoptic_inference(self, mask_cls, mask_pred):
        ids, infos = self.merged(mask_cls, mask_pred)
        return torch.from_numpy(ids), [{key: info[key] for key in KEYS} for info in infos]

    def merged(self, mask_cls, mask_pred):
        things = set(self.metadata.thing_dataset_id_to_contiguous_id.values())
        options = {"object_mask_threshold": self.object_mask_threshold}
        options.update(thing_ids=things, min_kept_fraction=self.overlap_threshold)
        return oracle(mask_cls.numpy(), mask_pred.numpy(), **options)


class WithParts(Queries):
    """TAPPS' model, which also lists the query of each segment."""

    def __init__(self, sids_with_parts) -> None:
        super().__init__()
        self.metadata.train_sids_with_parts = sids_with_parts

    def panoptic_inference(self, mask_cls, mask_pred):
        ids, infos = self.merged(mask_cls, mask_pred)
        queries = [
            {
                "panoptic_id": info["id"],
                "query_id": torch.tensor(info["source"]),
                "category_id": info["category_id"],
            }
            for info in infos
        ]
        return torch.from_numpy(ids), [{k: info[k] for k in KEYS} for info in infos], queries

    def pps_inference(self):
        """Its presence tells."""

    def forward(self, batched_inputs):
        size = batched_inputs[0]["image"].shape[-2:]
        logits = torch.randn(12, 10), torch.randn(12, *size)
        ids, infos, _ = self.panoptic_inference(*logits)
        return [{"panoptic_seg": (ids, infos), "pps": [ids, ids, torch.ones_like(ids)]}]


class OwnRule(Queries):
    """As MaskDINO: class probabilities are sigmoids."""

    pano_temp = 0.06

    def merged(self, mask_cls, mask_pred):
        return super().merged(mask_cls.sigmoid() * 20, mask_pred)


class PanopticDeepLab(nn.Module):
    """A Panoptic-DeepLab whose heads are the channels of its image."""

    device = CPU
    threshold, nms_kernel, top_k, stuff_area = 0.1, 7, 200, 16
    benchmark_network_speed = predict_instances = False
    pixel_mean, pixel_std, size_divisibility = 0.0, 255.0, 1

    def __init__(self) -> None:
        super().__init__()
        things = {26: 3, 27: 4}
        self.meta = SimpleNamespace(thing_dataset_id_to_contiguous_id=things, label_divisor=1000)
        self.backbone = nn.Identity()

    def sem_seg_head(self, features: Tensor, *_) -> tuple[Tensor, dict]:
        return torch.cat([features, features.flip(1)[:, :2]], 1), {}

    def ins_embed_head(self, features: Tensor, *_) -> tuple[Tensor, Tensor, dict, dict]:
        return features[:, :1], features[:, 1:], {}, {}

    def forward(self, batched_inputs):
        """Its own merge; what takes its place needs the heads alone."""


class PartFormer:
    """What the merge of Panoptic-PartFormer's head is given and gives."""

    test_cfg, num_part_classes = None, 23

    def __init__(self) -> None:
        self.mask_head = [SimpleNamespace(rescale_masks=lambda masks, _: masks.sigmoid())]

    def get_panoptic(self, cls_scores, mask_preds, test_cfg, img_meta):
        ids = np.zeros(mask_preds.shape[-2:], np.int32)
        ids[:2], ids[2:4] = 1, 2
        things = {"id": 1, "isthing": True, "category_id": 2, "score": 0.9, "instance_id": 4}
        stuff = {"id": 2, "isthing": False, "category_id": 0, "area": int((ids == 2).sum())}
        return None, None, (ids, [things, stuff])
