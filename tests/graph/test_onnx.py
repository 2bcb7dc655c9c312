"""Programs in ONNX Runtime: every merge, at other sizes than those exported, and golden cases."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

import pps_torch
from pps_torch import EvalSpec
from tests.golden import cases
from tests.graph.cases import tensors
from tests.graph.programs import MERGES, SIDE, Sizes, export, export_merge

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in LIBRARIES),
        reason="needs the extra pps_torch[export]",
    ),
    pytest.mark.skipif(torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on"),
]

#: Merges that interpolate: ONNX Runtime rounds otherwise, which moves a pixel now and then.
INTERPOLATED = {"boxes", "queries", "centers", "post_processor"}


def in_onnx_runtime(program, path):
    """A program as a function that runs in ONNX Runtime."""
    import onnx
    import onnxruntime

    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} <= {"", "pkg.onnxscript.torch_lib"}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    names = [value.name for value in session.get_inputs()]

    def run(*inputs):
        arrays = [value.numpy() for value in tensors(inputs)]
        return [torch.from_numpy(out) for out in session.run(None, dict(zip(names, arrays)))]

    return run


def expect_same(found, expected, share=0.0):
    """Equal tables and maps, but for a share of the pixels of maps."""
    for one, other in zip(found, tensors(expected), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        if one.is_floating_point():
            torch.testing.assert_close(one, other)
        else:
            assert (one != other).sum() <= share * one.numel()


@pytest.mark.parametrize("name", MERGES)
def test_random_scenes(name, tmp_path):
    torch.manual_seed(0)
    program, module = export_merge(name)
    run, draw = in_onnx_runtime(program, tmp_path / "merge.onnx"), MERGES[name][1]
    rng, differing = np.random.default_rng(0), 0
    for _ in range(200):
        inputs = draw(Sizes(rng.integers(1, 4), rng.integers(0, 12), *rng.integers(4, 60, 2)))
        found, expected = run(*inputs), module(*inputs)
        try:
            expect_same(found, expected)
        except AssertionError:
            differing += 1
    assert differing <= (2 if name in INTERPOLATED else 0)


def tied_masks():
    """A mask with 7 of 10 pixels covered, and one whose score of 0.7 float32 rounds down."""
    masks = torch.zeros(1, 4, 2, 10, dtype=torch.bool)
    masks[0, 0, 0, :7] = masks[0, 1, 0] = masks[0, 2, 1] = masks[0, 3, 1, :5] = True
    scores = torch.tensor([[0.9, 0.8, 0.75, 0.7]])
    return torch.full((1, 2, 10), 7), masks, scores, torch.tensor([[26, 26, 26, 26]])


def tied_boxes():
    """The same in boxes."""
    sem_seg, masks, scores, classes = tied_masks()
    boxes = torch.tensor([[[0.0, 0, 7, 1], [0, 0, 10, 1], [0, 1, 10, 2], [0, 1, 5, 2]]])
    return sem_seg, torch.ones(1, 4, SIDE, SIDE), boxes, scores, classes


def tied_queries():
    """A better query wins one of five pixels of another's mask: four fifths are left to it."""
    classes = torch.tensor([[[9.0, 0, 0], [8, 0, 0]]])
    return classes, torch.tensor([[[[9.0, -9, -9, -9, -9]], [[8.0, 8, 8, 8, 8]]]])


@pytest.mark.parametrize(
    ("merger", "draw", "count"),
    [
        (pps_torch.PanopticMerger, tied_masks, 3),
        (pps_torch.BoxPanopticMerger, tied_boxes, 3),
        (pps_torch.QueryPanopticMerger, tied_queries, 2),
    ],
)
def test_thresholds_that_float32_does_not_hold(merger, draw, count, tmp_path):
    """What is equal to 0.7 or 0.8 stays, and a float32 score of 0.7 is below 0.7."""
    thresholds = {"score_threshold": 0.7, "overlap_threshold": 0.7, "stuff_area_limit": 1}
    is_of_queries = merger is pps_torch.QueryPanopticMerger
    module = merger([0]) if is_of_queries else merger([], **thresholds)
    inputs = draw()
    expected = module(*inputs)
    assert expected.num_segments.tolist() == [count]
    expect_same(in_onnx_runtime(export(module, inputs), tmp_path / "merge.onnx")(*inputs), expected)


def arrays(case, *names):
    return tuple(torch.from_numpy(case[name]) for name in names)


def golden_masks():
    for spec_name in cases.SPECS:
        spec = EvalSpec.load(spec_name)
        merge = pps_torch.PanopticMerger(spec.stuff, stuff_area_limit=1024)
        found = cases.merging_images(spec_name, "Cityscapes")
        yield merge, [arrays(case, "sem_seg", "masks", "scores", "classes") for case in found]


def golden_pps():
    for spec_name in cases.SPECS:
        spec, inputs = EvalSpec.load(spec_name), []
        for case in cases.merging_images(spec_name, "COCO"):
            sem_seg, *instances, parts = arrays(
                case, "sem_seg", "masks", "scores", "classes", "parts"
            )
            settings = {"stuff_ids": spec.stuff, "stuff_area_limit": 1024}
            inputs.append((pps_torch.merge_panoptic(sem_seg, *instances, **settings), parts))
        yield pps_torch.PPSMerger(spec), inputs


def golden_of_detectron2(folder, merger, *names):
    """The cases of each group of settings."""
    keys = [f"{kind}_threshold" for kind in ("mask", "score", "overlap")] + ["stuff_area_limit"]
    groups = {}
    for case in cases.npz_cases(folder):
        settings = tuple((key, case[key]) for key in keys if key in case)
        groups.setdefault(settings, []).append(case)
    for settings, found in groups.items():
        stuff_ids = np.unique(np.concatenate([case["sem_seg"].ravel() for case in found]))
        merge = merger(stuff_ids[stuff_ids != 0].tolist(), **dict(settings))
        yield merge, [arrays(case, *names) for case in found]


def golden_combine():
    names = ("sem_seg", "masks", "scores", "classes")
    return golden_of_detectron2("detectron2_combine", pps_torch.PanopticMerger, *names)


def golden_boxes():
    names = ("sem_seg", "mask_probs", "boxes", "scores", "classes")
    return golden_of_detectron2("detectron2_paste", pps_torch.BoxPanopticMerger, *names)


def golden_queries():
    groups = {}
    for case in cases.npz_cases("mask2former"):
        settings = case["object_mask_threshold"], case["overlap_threshold"]
        class_logits, mask_logits = arrays(case, "class_logits", "mask_logits")
        groups.setdefault(settings, []).append((class_logits, mask_logits.float()))
    for (threshold, fraction), found in groups.items():
        settings = {"object_mask_threshold": threshold, "min_kept_fraction": fraction}
        yield pps_torch.QueryPanopticMerger(range(9), **settings), found


@pytest.mark.parametrize(
    "golden", [golden_masks, golden_combine, golden_pps, golden_boxes, golden_queries]
)
def test_golden_cases(golden, tmp_path):
    """Of what is interpolated, at most 1e-4 of the pixels differ, as from the references."""
    for module, found in golden():
        run = in_onnx_runtime(export(module, *found), tmp_path / "merge.onnx")
        for inputs in found:
            share = 1e-4 if golden in (golden_boxes, golden_queries) else 0
            expect_same(run(*inputs), module(*inputs), share)
