"""Detectron2's keys; PQ of PPS maps is PQ of their scene classes and instances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PanopticQuality, PanopticSegmentation, PanopticTarget, PartPanopticQuality
from pps_torch.formats import decode_uids
from pps_torch.integrations.detectron2.evaluation.part_scores import part_scores
from pps_torch.integrations.panoptic_scores import panoptic_scores
from tests.factories import pps_pair, specs

KEYS = ["PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st"]
PART_KEYS = [f"Part{q}{s}" for s in ("", "_parts", "_noparts") for q in ("PQ", "SQ", "RQ")]


def segments(category: np.ndarray, number: np.ndarray, things: tuple[int, ...], is_target: bool):
    """Ids and dicts of the maps' segments; a ground-truth thing numbered -1 is crowd."""
    number = np.where(np.isin(category, things), number, np.maximum(number, 0))
    keys = np.where(category < 0, -1, category * 10_000 + number + 1)
    found, ids = np.unique(keys, return_inverse=True)
    ids = np.where(category < 0, 0, ids.reshape(keys.shape) + 1)
    infos = []
    for segment_id, key in enumerate(found.tolist(), start=1):
        sid = key // 10_000
        is_crowd = is_target and sid in things and key % 10_000 == 0
        if key >= 0:
            infos.append({"id": segment_id, "category_id": sid, "iscrowd": int(is_crowd)})
    return torch.from_numpy(ids), infos


@pytest.mark.parametrize(
    "name", ["cpp_default", pytest.param("ppp_default", marks=pytest.mark.slow)]
)
def test_pq_of_pps_maps_is_that_of_their_segments(name):
    spec, rng = specs()[name], np.random.default_rng(1)
    whole, parts = PartPanopticQuality(spec.without_parts()), PartPanopticQuality(spec)
    pq = PanopticQuality(spec)
    for _ in range(40):
        pps, uids = pps_pair(rng, (20, 24), spec)
        whole.update(torch.from_numpy(pps), torch.from_numpy(uids))
        parts.update(torch.from_numpy(pps), torch.from_numpy(uids))
        pred_sids = np.where(np.isin(pps[0], spec.eval_sids), pps[0], -1)
        sids, iids, _ = (ids.numpy() for ids in decode_uids(torch.from_numpy(uids)))
        gt_sids = np.vectorize(lambda sid: spec.dataset_sid_to_eval_sid.get(sid, -1))(sids)
        pq.update(
            PanopticSegmentation.from_segments(*segments(pred_sids, pps[1], spec.things, False)),
            PanopticTarget.from_segments(*segments(gt_sids, iids, spec.things, True)),
        )
    scores = part_scores(parts.compute(), whole.compute(), spec)
    expected = panoptic_scores(pq.compute().summary)
    assert list(scores) == PART_KEYS + KEYS and list(expected) == KEYS
    assert {key: scores[key] for key in KEYS} == pytest.approx(expected, abs=1e-9)
    assert 0 < scores["PartPQ"] != scores["PQ"] > 0
    assert scores["PartPQ"] == 100 * parts.compute().summary["PartPQ"]
