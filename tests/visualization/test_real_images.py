"""The real Cityscapes prediction gets the colours of its classes."""

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import EvalSpec
from pps_torch.io.images import read_photo
from pps_torch.visualization import (
    colorize_pps,
    legend,
    overlay,
    pps_legend_entries,
    with_legend,
)


def read_image(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


@pytest.mark.slow
def test_cityscapes(real_images):
    spec = EvalSpec.load("cpp_default")
    pps = read_image(real_images / "cpp/expected/aachen_000012_000019_pps.png")
    photo_file = next((real_images / "cpp/leftImg8bit").rglob("*aachen_000012_000019*"))
    photo = torch.from_numpy(read_photo(photo_file, (1024, 2048)))
    picture = colorize_pps(pps, spec, boundaries=False)
    for sid in spec.stuff:
        assert (picture[:, pps[0] == sid].T == torch.tensor(spec.colors[sid])).all()
    void = pps[0] == spec.ignore_label
    assert not picture[:, void].any()

    entries = pps_legend_entries(pps, spec)
    present = [spec.scene_labels[sid] for sid in spec.eval_sids if (pps[0] == sid).any()]
    assert [entry.name for entry in entries] == present
    page = overlay(photo, picture, void)
    page = with_legend(page, legend(entries, pps.shape[-2:]))
    assert page.shape[1] == 1024 and page.shape[2] > 2048
