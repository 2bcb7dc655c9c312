"""mmdetection's panoptic maps: its published rule as a loop, round trips, bad maps.

mmdet itself needs the compiled mmcv to be imported; where it can be, its constant is compared.
"""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

pytest.importorskip("pps_torch.integrations.mmdetection", exc_type=ImportError)
from pps_torch import PanopticSegmentation  # noqa: E402
from pps_torch.integrations import mmdetection  # noqa: E402
from pps_torch.integrations.mmdetection import from_mmdetection, to_mmdetection  # noqa: E402

NUM_THINGS, NUM_CLASSES = 3, 5


def parse(labels: np.ndarray, ignore_index: int = NUM_CLASSES) -> list[tuple[int, np.ndarray]]:
    """(class index, mask) of each segment, as mmdet 3.3's CocoPanopticMetric parses predictions."""
    segments = []
    for label in np.unique(labels):
        if label % 1000 not in (NUM_CLASSES, ignore_index):
            segments.append((int(label % 1000), labels == label))
    return segments


def random_labels(rng: np.random.Generator, size=(9, 12)) -> np.ndarray:
    """Things with instances over 1000, stuff, void with and without an instance."""
    pool = [3, 4, 5, 5, 2005, 1000, 1001, 2001, 3002, 40_000, 1_234_002]
    return rng.choice(rng.choice(pool, 5), size).astype(np.int32)


@pytest.mark.parametrize("seed", range(20))
def test_random_maps_as_the_published_rule_and_back(seed):
    labels = random_labels(np.random.default_rng(seed))
    ignore_index = 4 if seed % 2 else None
    found = from_mmdetection(
        torch.from_numpy(labels)[None],
        num_things=NUM_THINGS,
        num_classes=NUM_CLASSES,
        ignore_index=ignore_index,
        capacity=12,
    )
    expected = parse(labels, ignore_index or NUM_CLASSES)
    assert found.num_segments.item() == len(expected)
    for row, (category, mask) in enumerate(expected):
        assert found.category_ids[row].item() == category
        assert found.is_thing[row].item() == (category < NUM_THINGS)
        assert np.array_equal(found.panoptic_seg.numpy() == row + 1, mask)
    again = to_mmdetection(found, num_classes=NUM_CLASSES)
    assert again.dtype == torch.int32
    for (category, mask), (other, others) in zip(
        sorted(expected, key=lambda s: s[1].tolist()),
        sorted(parse(again.numpy()), key=lambda s: s[1].tolist()),
        strict=True,
    ):
        assert category == other and np.array_equal(mask, others)


def test_things_count_up_over_all_classes_and_stuff_is_instance_0():
    infos = [{"id": k + 1, "category_id": c, "isthing": c < NUM_THINGS} for k, c in
             enumerate([0, 4, 2, 0, 4])]  # fmt: skip
    ids = torch.arange(6)[None]
    labels = to_mmdetection(PanopticSegmentation.from_segments(ids, infos), num_classes=NUM_CLASSES)
    # A class of stuff that has two segments keeps them: class 4, instances 0 and 1.
    assert labels.tolist() == [[5, 1000, 4, 2002, 3000, 1004]]


def test_things_and_stuff_of_one_class_are_told_apart():
    infos = [{"id": k, "category_id": 1, "isthing": k == 1} for k in (1, 2, 3)]
    found = PanopticSegmentation.from_segments(torch.tensor([[1, 2, 3]]), infos)
    assert to_mmdetection(found, num_classes=NUM_CLASSES).tolist() == [[1001, 2001, 3001]]


def test_a_batch_in_one_graph():
    rng = np.random.default_rng(0)
    images = [
        from_mmdetection(
            torch.from_numpy(random_labels(rng)),
            num_things=NUM_THINGS,
            num_classes=NUM_CLASSES,
            capacity=9,
        )
        for _ in range(2)
    ]
    batch = PanopticSegmentation(*(torch.stack(field) for field in zip(*images)))
    write = torch.compile(to_mmdetection, backend="eager", fullgraph=True)
    labels = write(batch, num_classes=NUM_CLASSES)
    for image, found in zip(images, labels, strict=True):
        assert torch.equal(to_mmdetection(image, num_classes=NUM_CLASSES), found)


@pytest.mark.parametrize(
    "labels, error, match",
    [
        (torch.tensor([[6]]), ValueError, r"^labels: .*0\.\.5, found the labels \[6\]"),
        (torch.tensor([[-1]]), ValueError, r"^labels: .*\[-1\]"),
        (torch.zeros(2, 4, 4).long(), ValueError, r"^labels: .*\(2, 4, 4\)"),
        (torch.zeros(4, 4), TypeError, "^labels: "),
    ],
)
def test_bad_maps_are_named(labels, error, match):
    with pytest.raises(error, match=match):
        from_mmdetection(labels, num_things=NUM_THINGS, num_classes=NUM_CLASSES)


def test_categories_and_settings_that_are_none():
    ids, infos = torch.tensor([[1]]), [{"id": 1, "category_id": 7}]
    with pytest.raises(ValueError, match="^segmentation.category_ids: .*below 5, found 7"):
        to_mmdetection(PanopticSegmentation.from_segments(ids, infos), num_classes=NUM_CLASSES)
    no_row = PanopticSegmentation.from_segments(ids, [{"id": 1, "category_id": 0}])
    no_row = no_row._replace(panoptic_seg=torch.tensor([[2]]))
    with pytest.raises(ValueError, match="^panoptic_seg: expected ids with a row .*, found 2"):
        to_mmdetection(no_row, num_classes=NUM_CLASSES)
    with pytest.raises(ValueError, match="^num_things, num_classes: .*6, 5"):
        from_mmdetection(ids, num_things=6, num_classes=5)


def test_the_example_in_the_docstring_runs():
    result = doctest.testmod(mmdetection)
    assert result.attempted > 0 and result.failed == 0
