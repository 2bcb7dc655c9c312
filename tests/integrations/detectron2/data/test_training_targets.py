"""Training targets come from one map of uids, and so agree."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2.data.training_targets import (
    TrainingTargetMaker,
    transform_uids,
)
from tests.factories import pps_pair, specs
from tests.oracles.part_panoptic_quality import eval_part
from tests.oracles.uids import decode_uid

SPECS = specs()


def slow_targets(uids: np.ndarray, spec: EvalSpec):
    """(sem_seg, part_seg, {(dataset sid, iid): (class, mask)}), pixel by pixel."""
    sem_seg, part_seg = np.full(uids.shape, 255), np.full(uids.shape, 255)
    instances = {}
    flat_ids = spec.eval_sid_pid_to_flat
    with_flat = {sid for sid, _ in flat_ids}  # PASCAL's boat is a flat part, but has no parts
    for place, uid in np.ndenumerate(uids):
        sid, iid, pid = decode_uid(int(uid))
        eval_sid = spec.dataset_sid_to_eval_sid.get(sid)
        if eval_sid is None:
            continue
        is_thing = eval_sid in spec.things
        sem_seg[place] = 0 if is_thing else 1 + spec.stuff.index(eval_sid)
        part_seg[place] = 0
        if eval_sid in with_flat:
            part_seg[place] = flat_ids.get((eval_sid, eval_part(spec, sid, pid)), 255)
        if is_thing and iid >= 0:
            new = spec.things.index(eval_sid), np.zeros(uids.shape, bool)
            instances.setdefault((sid, iid), new)[1][place] = True
    return sem_seg, part_seg, instances


@pytest.mark.parametrize("name", SPECS)
def test_targets_are_those_of_each_pixel(name):
    spec, rng = SPECS[name], np.random.default_rng(0)
    make = TrainingTargetMaker(spec)
    for _ in range(8):
        _, uids = pps_pair(rng, (9, 14), spec)
        targets = make(torch.from_numpy(uids))
        sem_seg, part_seg, instances = slow_targets(uids, spec)
        assert targets.sem_seg.dtype == targets.part_seg.dtype == torch.int64
        assert np.array_equal(targets.sem_seg, sem_seg)
        assert np.array_equal(targets.part_seg, part_seg)
        assert targets.masks.dtype == torch.bool and len(targets.masks) == len(instances)
        found = sorted(
            (c, m.tobytes()) for c, m in zip(targets.classes.tolist(), targets.masks.numpy())
        )
        assert found == sorted((c, m.tobytes()) for c, m in instances.values())


def test_an_image_without_instances():
    targets = TrainingTargetMaker(SPECS["cpp_default"])(torch.tensor([[7, 23], [26, 0]]))
    assert targets.masks.shape == (0, 2, 2) and targets.classes.shape == (0,)
    assert targets.sem_seg.tolist() == [[1, 11], [0, 255]]


def test_bad_input_is_refused():
    spec = SPECS["cpp_default"]
    with pytest.raises(ValueError, match="1 others, e.g. 255"):
        TrainingTargetMaker(spec)(torch.tensor([[7, 255]]))
    low = dataclasses.replace(spec, ignore_label=5)
    with pytest.raises(ValueError, match=r"ignore_label: .* \(0..23\), found 5"):
        TrainingTargetMaker(low)


UIDS = np.array([[0, 7, 26_001_02], [99_999_99, 24_000, 2**31 - 1]], np.int32)


def padded(value):
    return lambda ids: np.pad(ids, ((0, 1), (0, 0), (0, 0)), constant_values=value)


@pytest.mark.parametrize(
    "transform, expected",
    [
        (lambda ids: ids, UIDS),
        (lambda ids: np.flip(ids, axis=1), UIDS[:, ::-1]),
        (lambda ids: ids[1:, :2], UIDS[1:, :2]),
        (lambda ids: ids.repeat(3, 0), UIDS.repeat(3, 0)),
        (padded(0), np.vstack([UIDS, [[0, 0, 0]]])),
        (padded(255), np.vstack([UIDS, [[0, 0, 0]]])),
    ],
)
def test_transformed_uids_are_exact(transform, expected):
    found = transform_uids(UIDS, transform)
    assert found.dtype == np.int32 and np.array_equal(found, expected)
    assert np.array_equal(transform_uids(UIDS.astype(np.int64), transform), expected)
