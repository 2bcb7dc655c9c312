"""docs/concepts.png is what docs/draw_concepts.py draws."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from PIL import Image

from tests import ROOT


@pytest.mark.slow
def test_the_picture_is_the_one_that_is_drawn():
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_concepts.py"))["draw_concepts"]()
    with Image.open(ROOT / "docs" / "concepts.png") as saved:
        assert saved.size == drawn.size
        difference = np.abs(np.asarray(saved.convert("RGB"), int) - np.asarray(drawn, int))
    # The file has 256 colours; text looks a little different in each version of Pillow.
    assert difference.mean() < 5
