"""Slow reference for box pasting: bilinear samples at pixel centres, zero outside the mask."""

from __future__ import annotations

import numpy as np


def paste_mask(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) float32 probabilities of one (M, M) mask in its box (x0, y0, x1, y1)."""
    size = mask.shape[0]
    x0, y0, x1, y1 = (np.float32(v) for v in box)
    image = np.zeros((height, width), np.float32)
    if x1 == x0 or y1 == y0:
        return image
    for y in range(height):
        v = (np.float32(y + 0.5) - y0) / (y1 - y0) * np.float32(size) - np.float32(0.5)
        for x in range(width):
            u = (np.float32(x + 0.5) - x0) / (x1 - x0) * np.float32(size) - np.float32(0.5)
            image[y, x] = bilinear(mask, u, v)
    return image


def bilinear(mask: np.ndarray, u: float, v: float) -> np.float32:
    """Value of the mask at column u and row v, where the centre of the first cell is (0, 0)."""
    value = np.float32(0)
    left, top = int(np.floor(u)), int(np.floor(v))
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                weight = (1 - abs(np.float32(u - column))) * (1 - abs(np.float32(v - row)))
                value += np.float32(mask[row, column]) * np.float32(weight)
    return value


def paste_masks(masks: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, height, width) float32 probabilities."""
    pasted = [paste_mask(mask, box, height, width) for mask, box in zip(masks, boxes)]
    return np.stack(pasted) if pasted else np.zeros((0, height, width), np.float32)
