"""Error maps: one small street for each kind of error, and the counts of the metric."""

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import EvalSpec, PartPanopticQuality
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from pps_torch.visualization import (
    PixelError,
    colorize_errors,
    error_legend_entries,
    error_map,
    ground_truth_pps,
    legend,
)
from pps_torch.visualization.error_map import errors_of_pairs

ROAD, SKY, PERSON, CAR, VOID = (7, 0, 1), (23, 0, 1), (24, 1, 2), (26, 1, 5), (255, 0, 255)
A, P, C, M, E, V = (
    PixelError.AGREED,
    PixelError.WRONG_PART,
    PixelError.WRONG_CLASS,
    PixelError.MISSED,
    PixelError.EXTRA,
    PixelError.VOID,
)


@pytest.fixture(scope="module")
def spec():
    return EvalSpec.load("cpp_default")


def pps_of(*pixels):
    return torch.tensor(pixels).T.unsqueeze(1)  # (3, 1, N)


def with_part(pixel, pid):
    return (*pixel[:2], pid)


def instance(pixel, number):
    return (pixel[0], number, pixel[2])


CAR2 = instance(CAR, 2)
CASES = {
    "all agreed": ([ROAD, CAR, CAR], [ROAD, CAR, CAR], [A, A, A]),
    "instance numbers do not matter": ([ROAD, CAR], [ROAD, CAR2], [A, A]),
    "wrong part": ([CAR] * 3, [CAR, CAR, with_part(CAR, 2)], [A, A, P]),
    "no part": ([CAR] * 3, [CAR, CAR, with_part(CAR, 255)], [A, A, P]),
    "undefined part": ([CAR, CAR, with_part(CAR, 0)], [CAR] * 3, [A, A, A]),
    "no parts in a class without parts": ([ROAD], [with_part(ROAD, 255)], [A]),
    "border of two found segments": (
        [ROAD] * 4 + [SKY] * 4,
        [ROAD] * 5 + [SKY] * 3,
        [A] * 4 + [C] + [A] * 3,
    ),
    "another class throughout": ([ROAD, ROAD, CAR], [ROAD, ROAD, PERSON], [A, A, C]),
    "a segment that the road swallows": ([ROAD] * 3 + [CAR], [ROAD] * 4, [A] * 3 + [M]),
    "predicted void": ([ROAD] * 3 + [CAR], [ROAD] * 2 + [VOID] * 2, [A, A, M, M]),
    "a car on the road": ([ROAD] * 4, [ROAD] * 3 + [CAR], [A] * 3 + [E]),
    "a car split in two": ([CAR] * 4, [CAR] * 3 + [CAR2], [A] * 3 + [E]),
    "two cars taken as one": ([CAR] * 3 + [CAR2], [CAR] * 4, [A] * 3 + [M]),
    "too little overlap": ([CAR, CAR, SKY, SKY, SKY], [CAR, SKY, SKY, SKY, SKY], [M, M, A, A, A]),
    "void and crowd": ([VOID, (26, 0, 0), ROAD], [ROAD, CAR, ROAD], [V, V, A]),
    "parts without a label are crowd": ([with_part(CAR, 0), ROAD], [CAR, ROAD], [V, A]),
    "an IoU of a half is no match": ([CAR, CAR, VOID], [CAR, VOID, VOID], [M, M, V]),
    "void in the prediction's way": ([CAR, CAR, VOID, VOID], [CAR] * 4, [A, A, V, V]),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(spec, device, case):
    gt, pred, expected = CASES[case]
    errors = error_map(pps_of(*pred).to(device), pps_of(*gt).to(device), spec)
    assert errors.dtype == torch.uint8 and errors.device.type == device.type
    assert [PixelError(e) for e in errors[0].tolist()] == expected


def test_batches_keep_their_images_apart(spec):
    maps = [pps_of(CAR, CAR2, ROAD), pps_of(ROAD, CAR, CAR2), pps_of(CAR, ROAD, VOID)]
    gt, pred = torch.stack([maps[0], maps[1], maps[2]]), torch.stack([maps[1], maps[1], maps[0]])
    one_by_one = torch.stack([error_map(p, g, spec) for p, g in zip(pred, gt)])
    assert torch.equal(error_map(pred, gt, spec), one_by_one)
    assert error_map(pred[:0], gt[:0], spec).shape == (0, 1, 3)


def numbered(pps):
    """The segments of a map of one row, numbered from 1, and their classes; 0 is void."""
    keys = torch.where(pps[0] == 255, -1, pps[0] * 1000 + pps[1])
    keys, index = torch.cat([torch.tensor([[-1]]), keys], 1).unique(return_inverse=True)
    return torch.where(keys < 0, -1, keys // 1000), index[:, 1:]


@pytest.mark.parametrize("seed", range(20))
def test_segments_are_matched_as_the_metric_matches_them(spec, seed):
    generator = torch.Generator().manual_seed(seed)
    segments = torch.tensor([VOID, ROAD, SKY, CAR, CAR2, PERSON])
    gt_choice = torch.randint(6, (12,), generator=generator).repeat_interleave(5)
    noise = torch.randint(6, (60,), generator=generator)
    is_noise = torch.rand(60, generator=generator) < 0.3
    gt, pred = (
        pps_of(*segments[c].tolist()) for c in (gt_choice, torch.where(is_noise, noise, gt_choice))
    )
    (gt_sids, gt_index), (pred_sids, pred_index) = numbered(gt), numbered(pred)
    shape = len(gt_sids), len(pred_sids)
    joint = torch.zeros(shape, dtype=torch.int32)
    joint.index_put_((gt_index, pred_index), torch.tensor(1, dtype=torch.int32), accumulate=True)
    no_crowd = torch.zeros(shape[0], dtype=torch.bool)
    matches = match_segments(
        pairs_of_table(joint[None]), gt_sids[None], pred_sids[None], no_crowd[None]
    )
    expected = errors_of_pairs(gt_index, pred_index, matches, gt_sids, pred_sids, no_crowd)
    assert torch.equal(error_map(pred, gt, spec), expected)


@pytest.mark.parametrize(
    ("pps", "gt", "message"),
    [
        (pps_of(ROAD), pps_of(ROAD, ROAD), r"gt_pps: expected shape \(3, 1, 1\)"),
        (pps_of((99, 0, 1)), pps_of(ROAD), r"^pps: scene classes \[99\]"),
        (pps_of(ROAD), pps_of((99, 0, 1)), r"^gt_pps: scene classes \[99\]"),
    ],
)
def test_maps_that_do_not_fit(spec, pps, gt, message):
    with pytest.raises(ValueError, match=message):
        error_map(pps, gt, spec)


def test_picture_and_legend(spec):
    gt, pred, _ = CASES["wrong part"]
    errors = error_map(pps_of(*pred, ROAD), pps_of(*gt, VOID), spec)
    entries = error_legend_entries(errors)
    assert [entry.name for entry in entries] == ["agreed", "wrong part", "void or crowd"]
    colors = [tuple(color) for color in colorize_errors(errors)[:, 0].T.tolist()]
    assert colors == [entries[0].color] * 2 + [entries[1].color, entries[2].color]
    assert legend(entries, (100, 200)).shape[1] == 100


@pytest.mark.slow
def test_found_segments_are_the_true_positives_of_the_metric(real_images):
    spec = EvalSpec.load("cpp_default")
    cpp = real_images / "cpp"
    pps = torch.from_numpy(
        np.array(Image.open(cpp / "expected/aachen_000012_000019_pps.png"))
    ).permute(2, 0, 1)
    uids = torch.from_numpy(
        np.array(Image.open(next(cpp.rglob("*_gtFinePanopticParts.tif")))).astype(np.int32)
    )
    gt = ground_truth_pps(uids, spec)
    errors = error_map(pps, gt, spec)
    is_agreed = (errors == PixelError.AGREED) | (errors == PixelError.WRONG_PART)
    result = PartPanopticQuality(spec).update(pps, uids).compute()
    for sid, counts in result.per_class.items():
        found = gt[:, is_agreed & (gt[0] == sid)]
        assert found[1].unique().numel() == counts["tp"], counts["name"]
    assert (errors[gt[0] == 255] == PixelError.VOID).all()
