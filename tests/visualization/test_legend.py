"""Legends list what is in the picture, and fit their pictures."""

import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation
from pps_torch.visualization import (
    PALETTES,
    VOID_ENTRY,
    LegendEntry,
    colorize_pps,
    legend,
    panoptic_legend_entries,
    pps_legend_entries,
    with_legend,
)

VOID = 255
LONG = "a class with a name that no designer of legends would have expected"


@pytest.fixture(scope="module")
def spec():
    return EvalSpec.load("cpp_default")


def pps_of(*pixels):
    return torch.tensor(pixels).T.unsqueeze(1)  # (3, 1, N)


def names(entries):
    return {entry.name: [part.name for part in entry.parts] for entry in entries}


def test_only_what_is_there_in_class_order(spec):
    pps = pps_of((26, 1, 4), (26, 2, 1), (7, 0, 1), (24, 1, VOID), (VOID, 0, VOID), (33, 1, 1))
    entries = pps_legend_entries(pps, spec)
    assert names(entries) == {
        "road": [],
        "person": [],
        "car": ["windows", "license plate"],
        "bicycle": [],
    }
    assert list(names(entries)) == ["road", "person", "car", "bicycle"]


def test_entries_have_the_colors_of_the_picture(spec):
    pps = pps_of((26, 1, 1), (26, 1, 5), (7, 0, 1), (33, 1, 1))
    picture = colorize_pps(pps, spec, boundaries=False)[:, 0].T.tolist()
    road, car, bicycle = pps_legend_entries(pps, spec)
    expected = [car.parts[0].color, car.parts[1].color, road.color, bicycle.color]
    assert [tuple(color) for color in picture] == expected


@pytest.mark.parametrize("palette", PALETTES)
def test_palette(spec, palette):
    pps = pps_of((26, 1, VOID), (26, 1, 5), (7, 0, 1))
    picture = colorize_pps(pps, spec, boundaries=False, palette=palette)[:, 0].T.tolist()
    road, car = pps_legend_entries(pps, spec, palette=palette)
    assert [list(car.color), list(car.parts[0].color), list(road.color)] == picture
    categories = panoptic_legend_entries(
        PanopticSegmentation.from_segments(
            torch.tensor([[1, 2]]), [{"id": 1, "category_id": 7}, {"id": 2, "category_id": 26}]
        ),
        spec.categories,
        palette=palette,
    )
    assert [entry.color for entry in categories] == [road.color, car.color]


def test_void_has_an_entry_of_its_own(spec):
    picture = colorize_pps(pps_of((VOID, 0, VOID)), spec)
    assert tuple(picture[:, 0, 0].tolist()) == VOID_ENTRY.color


def test_all_void_lists_nothing(spec):
    entries = pps_legend_entries(pps_of((VOID, 0, VOID)), spec)
    assert entries == []
    assert legend(entries, (100, 200)).shape[1] == 100


def test_names_of_shared_parts():
    spec = EvalSpec.load("cpp_grouped")
    entries = pps_legend_entries(pps_of((24, 1, 2)), spec)
    assert names(entries) == {"person": ["human-head"]}


def test_panoptic_entries():
    categories = [
        {"id": 5, "name": "cat", "isthing": 1, "color": [9, 8, 7]},
        {"id": 6, "name": "dog", "isthing": 1, "color": [1, 1, 1]},
        {"id": 2, "name": "sky", "isthing": 0, "color": [2, 2, 2]},
    ]
    infos = [{"id": 1, "category_id": 2}, {"id": 2, "category_id": 5}, {"id": 3, "category_id": 5}]
    panoptic = PanopticSegmentation.from_segments(torch.tensor([[1, 2, 3]]), infos, capacity=9)
    entries = panoptic_legend_entries(panoptic, categories)
    assert entries == [LegendEntry("cat", (9, 8, 7)), LegendEntry("sky", (2, 2, 2))]


def entries_of(num_classes, num_parts, name="class"):
    parts = tuple(LegendEntry(f"part {p}", (0, 200, 0)) for p in range(num_parts))
    return [LegendEntry(f"{name} {c}", (200, 0, 0), parts) for c in range(num_classes)]


@pytest.mark.parametrize("size", [(512, 1024), (1024, 2048), (427, 640), (1, 1), (30, 400)])
@pytest.mark.parametrize("entries", [entries_of(19, 2), entries_of(3, 40), entries_of(1, 0, LONG)])
def test_size(entries, size):
    key = legend(entries, size)
    assert key.dtype == torch.uint8
    assert key.shape[1] == size[0] or size[0] < 60
    page = with_legend(torch.zeros(3, *size, dtype=torch.uint8), key)
    assert page.shape == (3, max(size[0], key.shape[1]), size[1] + key.shape[2])


@pytest.mark.parametrize("size", [(512, 1024), (1024, 2048), (300, 300)])
@pytest.mark.parametrize("entries", [entries_of(19, 3), entries_of(4, 1, LONG)])
def test_every_name_is_whole_and_apart(entries, size):
    """Each swatch is there, and the page stays white around the text: at its edges and lines."""
    page = legend(entries, size)
    num_lines = sum(1 + len(entry.parts) for entry in entries)
    swatch_pixels = (page[0] < 1) & (page[1] == 200) | (page[0] == 200) & (page[1] < 1)
    text_size = max(12, round(min(size[0], size[1] / 2) / 40))
    area = (2 * (text_size // 2) - 1) ** 2
    assert int(swatch_pixels.sum()) == num_lines * area
    edges = [page[:, 0], page[:, -1], page[:, :, 0], page[:, :, -1]]
    assert all((edge == 255).all() for edge in edges)


def test_with_legend_keeps_the_picture():
    picture = torch.randint(0, 255, (3, 40, 50), dtype=torch.uint8)
    key = legend(entries_of(2, 1), (40, 50))
    page = with_legend(picture, key)
    assert torch.equal(page[:, :40, :50], picture)
    assert torch.equal(page[:, : key.shape[1], 50:], key)
    assert (page[:, 40:, :50] == 255).all()
