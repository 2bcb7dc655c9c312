"""Pictures take maps of any integer dtype, and errors name the argument that is wrong."""

import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, PanopticTarget
from pps_torch.visualization import (
    LegendEntry,
    colorize_errors,
    colorize_panoptic,
    colorize_pps,
    error_legend_entries,
    error_map,
    ground_truth_pps,
    legend,
    overlay,
    panoptic_legend_entries,
    pps_legend_entries,
    simulate_deficiency,
    with_legend,
)
from tests.factories import INTEGER_DTYPES

DTYPES = [torch.int8, *INTEGER_DTYPES]
SPEC = EvalSpec.load("cpp_default")
PPS = torch.tensor([[[7, 23, 26, 26]], [[0, 0, 1, 2]], [[1, 1, 5, 2]]])  # road, sky, two cars
PICTURE = torch.zeros(3, 1, 4, dtype=torch.uint8)
CATEGORIES = [
    {"id": 5, "name": "cat", "isthing": 1, "color": [9, 8, 7]},
    {"id": 90, "name": "grass", "isthing": 0},
]
PANOPTIC = PanopticSegmentation.from_segments(
    torch.tensor([[0, 1, 2, 2]]), [{"id": 1, "category_id": 90}, {"id": 2, "category_id": 5}]
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pps_maps_of_any_integer_dtype(dtype):
    pps = PPS.to(dtype)
    assert torch.equal(colorize_pps(pps, SPEC), colorize_pps(PPS, SPEC))
    assert pps_legend_entries(pps, SPEC) == pps_legend_entries(PPS, SPEC)
    for pred, gt in ((pps, PPS), (PPS, pps), (pps, pps)):
        assert error_map(pred, gt, SPEC).tolist() == [[1, 1, 1, 1]]
    uids = torch.tensor([[7, 23, 0]], dtype=dtype)
    assert torch.equal(ground_truth_pps(uids, SPEC), ground_truth_pps(uids.long(), SPEC))


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_maps_of_any_integer_dtype(dtype):
    errors = torch.arange(6).view(1, 6)
    assert torch.equal(colorize_errors(errors.to(dtype)), colorize_errors(errors))
    assert error_legend_entries(errors.to(dtype)) == error_legend_entries(errors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_segments_of_any_integer_dtype(dtype):
    expected = colorize_panoptic(PANOPTIC, CATEGORIES)
    for field in ("panoptic_seg", "category_ids"):
        panoptic = PANOPTIC._replace(**{field: getattr(PANOPTIC, field).to(dtype)})
        assert torch.equal(colorize_panoptic(panoptic, CATEGORIES), expected)
        entries = panoptic_legend_entries(panoptic, CATEGORIES)
        assert entries == panoptic_legend_entries(PANOPTIC, CATEGORIES)


def test_category_255_in_a_byte_is_a_category():
    """It is not the -1 of unused rows, which a byte does not hold."""
    panoptic = PANOPTIC._replace(category_ids=torch.tensor([255, 5], dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"category ids \[255\] are not among them"):
        colorize_panoptic(panoptic, CATEGORIES)
    categories = [*CATEGORIES, {"id": 255, "name": "x", "isthing": 0, "color": [200, 0, 0]}]
    picture = colorize_panoptic(panoptic, categories, boundaries=False)
    assert picture[:, 0, 1].tolist() == [200, 0, 0]
    assert [entry.name for entry in panoptic_legend_entries(panoptic, categories)] == ["cat", "x"]


def test_the_classes_of_a_spec_are_categories():
    infos = [{"id": 1, "category_id": 7}, {"id": 2, "category_id": 26}]
    panoptic = PanopticTarget.from_segments(torch.tensor([[0, 1, 2]]), infos)
    picture = colorize_panoptic(panoptic, SPEC)
    assert torch.equal(picture, colorize_panoptic(panoptic, SPEC.categories))
    entries = panoptic_legend_entries(panoptic, SPEC)
    assert [entry.name for entry in entries] == ["road", "car"]


def test_unused_rows_may_stand_anywhere():
    panoptic = PANOPTIC._replace(
        panoptic_seg=torch.tensor([[0, 2, 0]]), category_ids=torch.tensor([-1, 5, -1, 90])
    )
    picture = colorize_panoptic(panoptic, CATEGORIES, boundaries=False)
    assert picture[:, 0].T.tolist() == [[0, 0, 0], [9, 8, 7], [0, 0, 0]]


def test_without_segments_no_categories_are_needed():
    empty = PanopticSegmentation.from_segments(torch.zeros(1, 4, dtype=torch.int64), [], capacity=3)
    assert not colorize_panoptic(empty, []).any()
    assert panoptic_legend_entries(empty, []) == []


def without(category, key):
    return {k: value for k, value in category.items() if k != key}


@pytest.mark.parametrize("show", [colorize_panoptic, panoptic_legend_entries])
@pytest.mark.parametrize(
    ("panoptic", "categories", "error", "message"),
    [
        (
            tuple(PANOPTIC),
            CATEGORIES,
            TypeError,
            "^panoptic: expected a PanopticSegmentation or a P",
        ),
        (None, CATEGORIES, TypeError, "^panoptic: expected .*, found NoneType"),
        (
            PANOPTIC._replace(category_ids=[90, 5]),
            CATEGORIES,
            TypeError,
            "^panoptic.category_ids: expected a torch.Tensor, found list",
        ),
        (
            PANOPTIC._replace(category_ids=torch.tensor([[90, 5]])),
            CATEGORIES,
            ValueError,
            r"^panoptic.category_ids: expected shape \(2,\), found \(1, 2\)",
        ),
        (
            PANOPTIC._replace(category_ids=torch.tensor([90, 5], device="meta")),
            CATEGORIES,
            ValueError,
            "^panoptic.category_ids: expected a tensor on cpu, found meta",
        ),
        (
            PANOPTIC._replace(panoptic_seg=PANOPTIC.panoptic_seg.double()),
            CATEGORIES,
            TypeError,
            "^panoptic.panoptic_seg: expected uint8 or a signed integer dtype",
        ),
        (
            PANOPTIC,
            None,
            TypeError,
            "^categories: expected an EvalSpec or a list .*, found NoneType",
        ),
        (PANOPTIC, "cpp_default", TypeError, "^categories: expected an EvalSpec .*, found str"),
        (PANOPTIC, CATEGORIES[0], TypeError, "^categories: expected an EvalSpec .*, found dict"),
        (PANOPTIC, [], ValueError, r"^categories: .* category ids \[5, 90\] are not among them"),
        (
            PANOPTIC,
            [CATEGORIES[0], without(CATEGORIES[1], "isthing")],
            ValueError,
            r"^categories\[1\]: expected the keys id, isthing, found id, name$",
        ),
        (
            PANOPTIC,
            [without(CATEGORIES[0], "id")],
            ValueError,
            r"^categories\[0\]: expected the keys id, isthing, found name, isthing, color$",
        ),
        (
            PANOPTIC,
            [{**CATEGORIES[0], "id": 1 << 63}],
            ValueError,
            r"^categories\[0\]: id: expected at most .*, found 9223372036854775808",
        ),
        (
            PANOPTIC,
            [*CATEGORIES, CATEGORIES[0]],
            ValueError,
            r"^categories\[2\]: id: .* once, found 5 again",
        ),
        (
            PANOPTIC,
            [{**CATEGORIES[0], "color": "red"}],
            ValueError,
            r"^categories\[0\]: color: expected three ints 0..255, found 'red'",
        ),
        (
            PANOPTIC,
            [{**CATEGORIES[0], "color": [1, 2, 256]}],
            ValueError,
            r"^categories\[0\]: color: expected three ints 0..255, found \[1, 2, 256\]",
        ),
    ],
)
def test_wrong_segments_and_categories(show, panoptic, categories, error, message):
    with pytest.raises(error, match=message):
        show(panoptic, categories)


def test_a_legend_needs_names():
    with pytest.raises(ValueError, match=r"^categories\[1\]: name: expected text, found None"):
        panoptic_legend_entries(PANOPTIC, [CATEGORIES[0], without(CATEGORIES[1], "name")])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: colorize_pps([[7]], SPEC), TypeError, "^pps: expected a torch.Tensor, found list"),
        (lambda: colorize_pps(PPS, "cpp_default"), TypeError, "^spec: expected an EvalSpec"),
        (lambda: colorize_pps(PPS, SPEC.categories), TypeError, "^spec: .*, found list"),
        (lambda: pps_legend_entries(None, SPEC), TypeError, "^pps: expected a torch.Tensor"),
        (lambda: error_map(None, PPS, SPEC), TypeError, "^pps: expected a torch.Tensor"),
        (lambda: error_map(PPS, None, SPEC), TypeError, "^gt_pps: expected a torch.Tensor"),
        (
            lambda: error_map(PPS, PPS.to("meta"), SPEC),
            ValueError,
            "^gt_pps: .* on cpu, found meta",
        ),
        (lambda: colorize_errors([1]), TypeError, "^errors: expected a torch.Tensor, found list"),
        (
            lambda: colorize_errors(torch.tensor([[1, 6]])),
            ValueError,
            r"^errors: expected kinds of PixelError, 0\.\.5, found 1\.\.6",
        ),
        (lambda: error_legend_entries(torch.tensor([[-1]])), ValueError, "^errors: .* found -1"),
        (lambda: ground_truth_pps([[7]], SPEC), TypeError, "^uids: expected a torch.Tensor"),
        (lambda: ground_truth_pps(PPS[0], None), TypeError, "^spec: expected an EvalSpec"),
        (lambda: simulate_deficiency([[1, 2, 3]], "protanopia"), TypeError, "^rgb: expected a"),
        (
            lambda: simulate_deficiency(torch.zeros(2, 3), "protanopia"),
            TypeError,
            "^rgb: expected torch.uint8, found torch.float32",
        ),
        (
            lambda: simulate_deficiency(PICTURE, "protanopia"),
            ValueError,
            r"^rgb: expected shape \(..., 3\), found \(3, 1, 4\)",
        ),
        (lambda: legend(None, (9, 9)), TypeError, "^entries: expected a list of LegendEntry"),
        (
            lambda: legend([("road", (1, 2, 3))], (9, 9)),
            TypeError,
            r"^entries\[0\]: expected a LegendEntry, found tuple",
        ),
        (
            lambda: legend([LegendEntry("road", (1, 2, 3))], 9),
            TypeError,
            r"^picture_size: expected \(H, W\)",
        ),
        (lambda: with_legend(PICTURE, None), TypeError, "^legend: expected a torch.Tensor"),
        (
            lambda: with_legend(PICTURE[None], PICTURE),
            ValueError,
            r"^picture: expected shape \(3, 1, 4\), found \(1, 3, 1, 4\)",
        ),
        (
            lambda: overlay(PICTURE.float(), PICTURE, PICTURE[0] > 0),
            TypeError,
            "^photo: expected torch.uint8, found torch.float32",
        ),
        (lambda: overlay(PICTURE, None, PICTURE[0] > 0), TypeError, "^colored: expected a torch"),
        (lambda: overlay(PICTURE, PICTURE, PICTURE[0]), TypeError, "^void: expected torch.bool"),
        (
            lambda: overlay(PICTURE, PICTURE[:2], PICTURE[0] > 0),
            ValueError,
            r"^colored: expected shape \(\*B, 3, H, W\), found \(2, 1, 4\)",
        ),
        (
            lambda: overlay(PICTURE.to("meta"), PICTURE, PICTURE[0] > 0),
            ValueError,
            "^photo: expected a tensor on cpu, found meta",
        ),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
