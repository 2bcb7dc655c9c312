"""What the heads of TAPPS' model give, at random."""

from __future__ import annotations

import torch
from torch import nn

#: The data set that the model is made for.
NAME = "pps_real_tapps"
SPEC = "ppq_cpp_19_23_cvpr21_default_evalspec.yaml"
#: The contiguous classes with parts of Cityscapes, and their parts in TAPPS' numbers.
PARTS = {11: [1, 2, 3, 4], 12: [5, 6, 7, 8], 13: [9, 10, 11, 12, 13]}


class Parts(nn.Module):
    """In place of the part decoder: random logits for each part of each query."""

    def parts_decoder(self, queries, num_parts, features, part_ids):
        count = sum(num_parts[0])
        return torch.randn(count, 16, 24, generator=torch.Generator().manual_seed(0))


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
