"""Pictures with many classes, segments and names: no more work than they need, all there."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pps_torch import EvalSpec, PanopticSegmentation
from pps_torch.specs import DatasetSpec
from pps_torch.visualization import (
    PALETTES,
    LegendEntry,
    colorize_panoptic,
    colorize_pps,
    colors,
    error_map,
    legend,
    panoptic_legend_entries,
    pps_legend_entries,
)
from pps_torch.visualization.colors import category_colors, default_colors, spec_paints
from pps_torch.visualization.text import Font

CAR = 26
NUM_SEGMENTS, SIZE = 4000, (50, 160)  # two pixels each


class LargestTensor(TorchDispatchMode):
    """Records how many elements the largest tensor has that is made under it."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.numel = max([self.numel, *(tensor.numel() for tensor in tensors)])
        return result


def many_ids():
    """A map of segments 1..NUM_SEGMENTS of two pixels each."""
    return torch.arange(2 * NUM_SEGMENTS).view(SIZE) // 2 + 1


def many_categories(count):
    return [{"id": i + 1, "name": f"class {i}", "isthing": i % 2} for i in range(count)]


def many_classes(count, ignore_label=None):
    """A spec of the scene classes 1..count, without parts; every other one has instances."""
    names = [f"class {sid}" for sid in range(1, count + 1)]
    dataset = DatasetSpec.from_dict(
        {
            "name": "Many",
            "scene_class2part_classes": dict.fromkeys(names, []),
            "scene_classes_with_instances": names[::2],
            "scene_class2color": dict(zip(names, map(list, default_colors(count)))),
        }
    )
    sids = list(range(1, count + 1))
    fields = {
        "version": "1",
        "ignore_label": ignore_label or count + 1,
        "dataset_sid2eval_sid": {sid: sid for sid in sids},
        "dataset_sid_pid2eval_sid_pid": {},
        "eval_sid_things": sids[::2],
        "eval_sid_stuff": sids[1::2],
        "eval_sid_parts": [],
        "eval_sid_no_parts": sids,
        "eval_sid_pid2eval_pid_flat": {},
        "eval_sid2scene_label": dict(zip(sids, names)),
        "eval_pid_flat2scene_part_label": {},
    }
    return EvalSpec.from_dict(fields, dataset)


def calls(monkeypatch, module, name):
    """Counts the calls of a module's function from now on."""
    counts, function = [0], getattr(module, name)

    def counted(*args, **kwargs):
        counts[0] += 1
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return counts


@pytest.mark.parametrize("palette", PALETTES)
def test_thousands_of_categories_have_colors_of_their_own(palette, monkeypatch):
    conversions = calls(monkeypatch, colors, "oklab_to_rgb")
    default_colors.cache_clear()
    found = category_colors(many_categories(2000), palette)
    assert len(set(found)) == 2000 and (0, 0, 0) not in found
    assert conversions == [1]


def test_the_colors_of_many_classes_are_computed_together(monkeypatch):
    spec = many_classes(1000)
    conversions = calls(monkeypatch, colors, "oklab_to_rgb")
    paints = spec_paints(spec, torch.device("cpu"))
    assert conversions == [2]  # of the parts, of the shades
    assert [tuple(color) for color in paints.colors[1:, 0].tolist()] == list(default_colors(1000))


def test_a_map_of_many_classes_and_its_legend():
    spec = many_classes(300)
    sids = torch.arange(1, 302).view(7, 43)  # the last one is void
    pps = torch.stack([sids, torch.zeros_like(sids), torch.ones_like(sids)])
    picture = colorize_pps(pps, spec, boundaries=False).flatten(1).T.tolist()
    assert [tuple(color) for color in picture] == [*default_colors(300), (0, 0, 0)]
    entries = pps_legend_entries(pps, spec)
    assert [entry.color for entry in entries] == list(default_colors(300))


def test_pictures_have_no_table_of_all_ids_up_to_that_of_void():
    spec = many_classes(300, ignore_label=9999)
    sids = torch.tensor([[1, 2, 299], [300, 9999, 1]])
    pps = torch.stack([sids, sids % 2, torch.ones_like(sids)])  # odd ones are things
    with LargestTensor() as largest:
        picture = colorize_pps(pps, spec, boundaries=False).flatten(1).T.tolist()
        assert error_map(pps, pps, spec).tolist() == [[1, 1, 1], [1, 0, 1]]
    colors = default_colors(300)
    expected = [colors[0], colors[1], colors[298], colors[299], (0, 0, 0), colors[0]]
    assert [tuple(color) for color in picture] == expected
    assert largest.numel < 100_000


def test_an_error_map_has_no_table_of_all_pairs_of_segments():
    spec, ids = EvalSpec.load("cpp_default"), many_ids()
    gt = torch.stack([torch.full_like(ids, CAR), ids, torch.full_like(ids, 5)])
    with LargestTensor() as largest:
        errors = error_map(gt.roll(1, -1), gt, spec)
    assert (errors == errors[0, 0]).all()  # one of two pixels each: no IoU above a half
    assert largest.numel < NUM_SEGMENTS**2 // 8
    assert (error_map(gt.flip(1), gt.flip(1), spec) == 1).all()


def test_a_picture_of_many_segments_has_no_table_of_all_pairs_of_them():
    ids, categories = many_ids(), many_categories(500)
    infos = [{"id": i, "category_id": 1 + i % 500} for i in range(1, NUM_SEGMENTS + 1)]
    with LargestTensor() as largest:
        panoptic = PanopticSegmentation.from_segments(ids, infos)
        picture = colorize_panoptic(panoptic, categories, boundaries=False)
        entries = panoptic_legend_entries(panoptic, categories)
    assert largest.numel < NUM_SEGMENTS**2 // 8
    assert len(entries) == 500
    stuff = [infos[i - 1]["category_id"] for i in (2, 4, 1502)]
    expected = torch.tensor([category_colors(categories)[c - 1] for c in stuff])
    assert torch.equal(picture.flatten(1).T[[2, 6, 3002]].long(), expected)


def test_instances_count_within_their_category():
    """The first instance of each category has its colour, the second one another shade of it."""
    categories = [{"id": i, "name": "", "isthing": 1, "color": [40 * i, 90, 120]} for i in (1, 2)]
    infos = [{"id": i, "category_id": c} for i, c in ((1, 2), (2, 1), (3, 2), (4, 1))]
    panoptic = PanopticSegmentation.from_segments(torch.tensor([[1, 0, 2, 0, 3, 0, 4]]), infos)
    picture = colorize_panoptic(panoptic, categories, boundaries=False)[:, 0].T.tolist()
    assert picture[0] == [80, 90, 120] and picture[2] == [40, 90, 120]
    assert picture[4] not in picture[:4] and picture[6] not in picture[:6]


def entries_of(count, name):
    return [LegendEntry(f"{name} {number}", (200, 0, 0)) for number in range(count)]


def num_swatches(page):
    return int(((page[0] == 200) & (page[1] < 1)).sum()) // (2 * (12 // 2) - 1) ** 2


@pytest.mark.parametrize("name", ["short", "n" * 1000])
@pytest.mark.parametrize("count", [250, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_legend_of_many_names_is_complete_and_no_wider_than_two_pictures(count, name):
    page = legend(entries_of(count, name), (480, 640))
    assert num_swatches(page) == count
    assert page.shape[2] <= 2 * 640
    assert (page[:, :, -1] == 255).all() and (page[:, -1] == 255).all()


def test_each_character_is_rendered_once(monkeypatch):
    rendered, render = [], Font._render

    def counted(font, char):
        rendered.append(char)
        return render(font, char)

    monkeypatch.setattr(Font, "_render", counted)
    legend(entries_of(3000, "class"), (480, 640))
    assert sorted(rendered) == sorted(set("class 0123456789"))
