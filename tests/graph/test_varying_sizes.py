"""Images, batches of detections and segments differ in size: one graph, few kernels for all."""

import pytest
import torch

import pps_torch
from pps_torch import EvalSpec, PanopticSegmentation, PanopticTarget
from tests.triton_support import BACKENDS

SPEC = EvalSpec.load("cpp_default")
SIZES = [(16, 20), (17, 22), (25, 38), (19, 32)]
NUMBERS = [(2,), (3,), (11,), (16,)]


def semantic(height, width):
    return torch.randint(7, 30, (1, height, width))


def detections(height, width, num=3):
    corners = torch.rand(1, num, 2) * 8
    boxes = torch.cat([corners, corners + 9], 2)
    scores, classes = torch.rand(1, num), torch.randint(24, 28, (1, num))
    return semantic(height, width), torch.rand(1, num, 7, 7), boxes, scores, classes


def masks(height, width, num=3):
    sem_seg, _, _, scores, classes = detections(height, width, num)
    return sem_seg, torch.rand(1, num, height, width) > 0.5, scores, classes


def segments(num):
    ids = torch.randint(0, num, (1, 8, 9), dtype=torch.int32)
    row = torch.randint(24, 28, (1, num))
    pred = PanopticSegmentation(ids, row, row > 0, row.double(), row, row, row[:, 0])
    return pred, PanopticTarget(ids, row, row < 0, row[:, 0])


def queries(height, width):
    return torch.zeros(height, width), torch.randn(1, 4, 5), torch.randn(1, 4, height // 2, 9)


def pps_pair(height, width):
    return torch.randint(0, 9, (1, 3, height, width)), semantic(height, width)


def counting(metric, state):
    """An update that returns a state."""

    def update(*inputs):
        return getattr(metric.update(*inputs), state).clone()

    return update


def heads(height, width):
    _, mask_probs, boxes, scores, _ = detections(height, width)
    logits = (torch.randn(1, num, height // 2, width // 2) for num in (19, 24))
    photo, classes = torch.zeros(height, width), torch.randint(0, 8, (1, 3))
    return photo, next(logits), mask_probs, boxes, scores, classes, next(logits)


def sized_by_photo(module):
    """A module whose output has the size of a photo, the first input."""
    return lambda photo, *inputs: module(*inputs, photo.shape[-2:])


CASES = {
    "masks": (
        lambda **options: pps_torch.PanopticMerger([7, 8], stuff_area_limit=4, **options),
        masks,
        SIZES,
    ),
    "boxes": (
        lambda **options: pps_torch.BoxPanopticMerger([7, 8], stuff_area_limit=4, **options),
        detections,
        SIZES,
    ),
    "number_of_boxes": (
        lambda **options: pps_torch.BoxPanopticMerger([7, 8], stuff_area_limit=4, **options),
        lambda num: detections(16, 20, num),
        NUMBERS,
    ),
    "queries": (
        lambda **options: sized_by_photo(pps_torch.QueryPanopticMerger([0, 1], **options)),
        queries,
        SIZES,
    ),
    "post_processor": (
        lambda **options: sized_by_photo(
            pps_torch.PPSPostProcessor(SPEC, stuff_area_limit=4, **options)
        ),
        heads,
        SIZES,
    ),
    "number_of_segments": (
        lambda **options: counting(pps_torch.PanopticQuality(SPEC, **options), "class_sums"),
        segments,
        NUMBERS,
    ),
    "part_pq": (
        lambda **options: counting(
            pps_torch.PartPanopticQuality(SPEC, capacity=9, **options), "class_sums"
        ),
        pps_pair,
        SIZES,
    ),
}
#: Plain torch has a step for each mask.
FIXED_IN_TORCH = {"number_of_boxes"}


def compiled(case, backend, **options):
    """A case compiled, and the graphs that are made of it."""
    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    torch._dynamo.reset()
    module = CASES[case][0](backend=backend)
    return torch.compile(module, fullgraph=True, backend=keep, **options), graphs


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on CUDA, not in the interpreter")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_one_graph_serves_all_sizes(case, backend):
    if backend == "torch" and case in FIXED_IN_TORCH:
        pytest.skip("plain torch has a step for each mask")
    captured, graphs = compiled(case, backend, dynamic=True)
    _, inputs_of, sizes = CASES[case]
    for size in sizes:
        captured(*inputs_of(*size))
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes_that_are_marked_stay_free(backend):
    """A marked size that a graph would hold fixed is an error of torch."""
    captured, graphs = compiled("post_processor", backend)
    for size in SIZES:
        photo, sem_seg_logits, *rest, part_logits = heads(*size)
        for tensor in (photo, sem_seg_logits, part_logits):
            torch._dynamo.mark_dynamic(tensor, tensor.ndim - 2)
            torch._dynamo.mark_dynamic(tensor, tensor.ndim - 1)
        captured(photo, sem_seg_logits, *rest, part_logits)
    assert len(graphs) == 1
