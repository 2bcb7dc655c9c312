"""vernier, an evaluator of PQ in Rust, where it is installed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

#: The maps of images, by id, and the lists of their segments.
Side = tuple[dict[Any, np.ndarray], dict[Any, list[dict[str, Any]]]]


class Vernier:
    """Its evaluator by the rules of panopticapi; ImportError where it is not installed."""

    def __init__(self, categories: list[dict[str, Any]]) -> None:
        from vernier import panoptic

        self.panoptic = panoptic
        self._categories = json.dumps(categories).encode()
        self._evaluator = panoptic.Evaluator(parity_mode="strict")

    def build(self, gt: Side, pred: Side) -> tuple[Any, Any]:
        """Its data set and predictions."""
        maps, infos = zip(gt, pred)
        ids = [{key: m.astype(np.uint32, copy=False) for key, m in side.items()} for side in maps]
        listed = [json.dumps(info).encode() for info in infos]
        target = self.panoptic.Dataset.from_arrays(ids[0], listed[0], self._categories)
        return target, self.panoptic.Predictions.from_arrays(ids[1], listed[1])

    def evaluate(self, built: tuple[Any, Any]) -> Any:
        """What its kernel counts."""
        return self._evaluator.evaluate(*built)
