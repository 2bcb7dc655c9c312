"""Instances that touch have clearly different shades, and the rule says which."""

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation
from pps_torch.visualization import PALETTES, colorize_panoptic, colorize_pps
from pps_torch.visualization.colors import NUM_LEVELS, NUM_SHADES, spec_paints
from pps_torch.visualization.oklab import rgb_to_oklab
from pps_torch.visualization.shades import instance_shades, neighbour_differences

CAR, PERSON, ROAD, VOID = 26, 24, 7, 255
CLEARLY = 0.09  # OKLab distance; 0.02 is just visible


@pytest.fixture(scope="module")
def spec():
    return EvalSpec.load("cpp_default")


def shades_of(ids, groups=None):
    """Shades of instances 1, 2, ... that are the ids of a map; row 0 is no instance."""
    rows = torch.tensor(ids)
    numbers = torch.arange(int(rows.max()) + 1)
    groups = (numbers > 0).long() - 1 if groups is None else torch.tensor(groups)
    return instance_shades(rows, neighbour_differences(rows), groups, numbers)[1:].tolist()


def test_without_clash_a_shade_is_that_of_the_number():
    assert shades_of([[1, 2, 3, 4, 5]]) == [0, 1, 2, 3, 4]
    far_apart = [[1, 0, 6, 0, 66]]
    shades = shades_of(far_apart)
    assert (shades[0], shades[5], shades[65]) == (0, 5, 0)


def test_the_later_of_two_that_touch_takes_the_next_free_level():
    assert shades_of([[1, 6]])[5] == 6  # 5 has the level of 0
    assert shades_of([[6, 1]])[5] == 6
    assert shades_of([[6], [1]])[5] == 6
    assert shades_of([[1, 6, 2]])[5] == 7
    assert shades_of([[0, 2, 0], [1, 6, 3], [0, 4, 0]])[5] == 9
    assert shades_of([[1, 66]])[65] == 1


def test_corners_groups_and_five_taken_levels_change_nothing():
    assert shades_of([[1, 0], [0, 6]])[5] == 5
    assert shades_of([[1, 6]], groups=[-1, 0, 0, 0, 0, 0, 1])[5] == 5
    assert shades_of([[1, 6]], groups=[-1] * 7)[5] == 5
    six_all_touching = [[a, b] for a in range(1, 7) for b in range(1, a)]
    assert shades_of(six_all_touching)[5] == 5


def test_a_chain_of_changes():
    """6 leaves 1 for shade 6, so 7 (shade 6) leaves 6."""
    assert shades_of([[1, 6, 7]])[5:7] == [6, 7]


def test_where_all_levels_are_taken_earlier_ones_swap():
    """2 and 4 have nothing between them: 11, which touches five levels, makes one of them move."""
    ids = [[0, 1, 0, 2, 0], [5, 11, 11, 11, 3], [0, 0, 4, 0, 0]]
    shades = shades_of(ids)
    touched = [shades[number - 1] % NUM_LEVELS for number in (1, 2, 3, 4, 5)]
    assert shades[10] % NUM_LEVELS not in touched
    assert sum(shades[number - 1] != number - 1 for number in (1, 2, 3, 4, 5)) == 1


def random_map(seed, num_instances=60, size=96):
    """Cars as the cells of random points: all touch."""
    generator = np.random.default_rng(seed)
    points = generator.integers(0, size, (num_instances, 2))
    grid = np.stack(np.mgrid[:size, :size], -1)
    cells = ((grid[:, :, None] - points) ** 2).sum(-1).argmin(-1)
    return torch.from_numpy(generator.permutation(num_instances)[cells] + 1)


def least_distance_across_borders(picture, iids):
    lab = rgb_to_oklab(picture.permute(1, 2, 0))
    right, lower = neighbour_differences(iids)
    steps = [(lab[:, :-1] - lab[:, 1:])[right], (lab[:-1] - lab[1:])[lower]]
    return float(torch.cat(steps).norm(dim=-1).min())


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pid", [VOID, 1, 5])
def test_instances_that_touch_are_clearly_different(spec, palette, seed, pid):
    iids = random_map(seed)
    pps = torch.stack([torch.full_like(iids, CAR), iids, torch.full_like(iids, pid)])
    picture = colorize_pps(pps, spec, boundaries=False, palette=palette)
    assert least_distance_across_borders(picture, iids) > CLEARLY
    infos = [{"id": n, "category_id": 3, "isthing": 1} for n in range(1, 61)]
    present = set(iids.unique().tolist())
    infos = [info for info in infos if info["id"] in present]
    panoptic = PanopticSegmentation.from_segments(iids, infos)
    categories = [{"id": 3, "name": "cat", "isthing": 1, "color": [20, 200, 40]}]
    picture = colorize_panoptic(panoptic, categories, boundaries=False, palette=palette)
    assert least_distance_across_borders(picture, iids) > CLEARLY


def test_numbers_alone_would_not_do(spec):
    """What the rule is for: with the shades of their numbers, some that touch look alike."""
    iids = random_map(0)
    colors = spec_paints(spec, torch.device("cpu")).colors
    car = next(row for row, member in enumerate(colors[:, 0].tolist()) if member == [0, 0, 142])
    picture = colors[car][(iids - 1) % NUM_SHADES].permute(2, 0, 1)
    assert least_distance_across_borders(picture, iids) < 0.05


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("name", ["cpp_default", "cpp_grouped", "ppp_default", "ppp_107"])
def test_levels_of_every_class_and_part_are_clearly_different(name, palette):
    spec = EvalSpec.load(name)
    paints = spec_paints(spec, torch.device("cpu"), palette)
    things = [row for row, (sid, _) in enumerate(paints.members, 1) if sid in spec.things]
    lab = rgb_to_oklab(paints.colors[things])
    level = torch.arange(NUM_SHADES) % NUM_LEVELS
    distance = torch.cdist(lab, lab)[:, level[:, None] != level]
    assert distance.min() > CLEARLY


@pytest.mark.parametrize("palette", PALETTES)
def test_an_instance_makes_all_its_parts_lighter_or_all_darker(spec, palette):
    paints = spec_paints(spec, torch.device("cpu"), palette)
    for sid in spec.parts:
        rows = [row for row, (s, p) in enumerate(paints.members, 1) if s == sid and p]
        lightness = rgb_to_oklab(paints.colors[rows])[..., 0]
        change = lightness - lightness[:, :1]
        assert (change.amax(0) - change.amin(0)).max() < 0.02


def test_high_instance_numbers(spec):
    """Above some number only those in the map are listed; the shade is still the number's."""
    iids = torch.tensor([[1, 10_000_000, 2, 4000]])
    pps = torch.stack([torch.full_like(iids, CAR), iids, torch.full_like(iids, VOID)])
    picture = colorize_pps(pps, spec, boundaries=False)[:, 0]
    alone = [colorize_pps(pps[..., i : i + 1], spec)[:, 0, 0] for i in range(4)]
    assert torch.equal(picture[:, :3], torch.stack(alone, 1)[:, :3])


def test_the_same_instance_in_two_images_of_a_batch(spec):
    """Neighbours count in their own image only."""
    iids = torch.tensor([[[1, 6]], [[6, 6]]])
    pps = torch.stack([torch.full_like(iids, PERSON), iids, torch.full_like(iids, VOID)], dim=1)
    picture = colorize_pps(pps, spec, boundaries=False)
    assert not torch.equal(picture[0, :, 0, 1], picture[1, :, 0, 1])
    assert torch.equal(picture[1], colorize_pps(pps[1], spec))


def test_inputs_are_not_changed(spec):
    pps = torch.tensor([[[CAR, CAR, ROAD]], [[1, 6, 0]], [[1, 2, 1]]], dtype=torch.int32)
    copy = pps.clone()
    colorize_pps(pps, spec)
    assert torch.equal(pps, copy)
