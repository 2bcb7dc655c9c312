"""What is random in a street and its predictions: choices, smooth noise and blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Pick one of the options."""
    return options[int(rng.integers(len(options)))]


def smooth_noise(
    size: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Make noise that is smooth within cells: `(H, W)` float32, mean 0 and deviation about 1."""
    rows, columns = cells
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def blob(size: tuple[int, int], rng: np.random.Generator, reach: float) -> np.ndarray:
    """Make a mask `(H, W)` bool of a roundish blob, with radii up to `reach` of the height."""
    height, width = size
    center = rng.uniform(0, 1) * width, rng.uniform(0.1, 0.9) * height
    radii = rng.uniform(0.25, 1, size=2) * reach * height
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = sum(np.sin(k * angles + rng.uniform(0, 2 * np.pi)) / k for k in (2, 3, 5))
    rim = (1 + 0.25 * waves) * np.stack([np.cos(angles), np.sin(angles)])
    image = Image.new("L", (width, height))
    points = (rim * radii[:, None] + np.array(center)[:, None]).T
    ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=1)
    return np.array(image, dtype=bool)
