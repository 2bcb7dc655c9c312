"""Small maps whose colours are known, and the errors that name what is wrong."""

import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, PanopticTarget
from pps_torch.visualization import PALETTES, colorize_panoptic, colorize_pps

ROAD, SKY, PERSON, CAR, VOID = 7, 23, 24, 26, 255
CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1, "color": [200, 40, 40]},
    {"id": 90, "name": "grass", "isthing": 0, "color": [30, 160, 60]},
    {"id": 17, "name": "dog", "isthing": 1},
]


@pytest.fixture(scope="module")
def spec():
    return EvalSpec.load("cpp_default")


def pps_of(sids, iids=None, pids=None):
    sids = torch.tensor(sids)
    iids = torch.zeros_like(sids) if iids is None else torch.tensor(iids)
    pids = torch.ones_like(sids) if pids is None else torch.tensor(pids)
    return torch.stack([sids, iids, pids])


def colors_of(picture):
    return {tuple(color) for color in picture.flatten(1).T.tolist()}


def test_stuff_and_void_have_exactly_their_colors(spec):
    sids = [
        [SKY, SKY, SKY, SKY, SKY, SKY],
        [SKY, SKY, VOID, VOID, SKY, SKY],
        [ROAD, ROAD, VOID, VOID, ROAD, ROAD],
        [ROAD, ROAD, ROAD, ROAD, ROAD, ROAD],
    ]
    picture = colorize_pps(pps_of(sids), spec, boundaries=False)
    color = {ROAD: [128, 64, 128], SKY: [70, 130, 180], VOID: [0, 0, 0]}
    expected = torch.tensor([[color[sid] for sid in row] for row in sids])
    assert picture.dtype == torch.uint8
    assert torch.equal(picture.permute(1, 2, 0).long(), expected)


def test_boundaries_are_white_where_the_right_or_lower_neighbour_differs(spec):
    sids = [
        [ROAD, ROAD, ROAD, SKY],
        [ROAD, ROAD, ROAD, SKY],
        [VOID, ROAD, ROAD, SKY],
    ]
    pps = pps_of(sids)
    white = (colorize_pps(pps, spec) == 255).all(0)
    assert white.int().tolist() == [[0, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0]]
    plain = colorize_pps(pps, spec, boundaries=False)
    assert torch.equal(colorize_pps(pps, spec)[:, ~white], plain[:, ~white])


def test_boundaries_separate_instances_but_not_parts(spec):
    one_car = pps_of([[CAR, CAR]], [[1, 1]], [[1, 2]])
    two_cars = pps_of([[CAR, CAR]], [[1, 2]], [[1, 1]])
    assert (255, 255, 255) not in colors_of(colorize_pps(one_car, spec))
    assert (255, 255, 255) in colors_of(colorize_pps(two_cars, spec))


def test_the_first_instance_has_the_class_color_and_others_differ(spec):
    many = list(range(41))
    pps = pps_of([[CAR] * 41], [many], [[VOID] * 41])
    picture = colorize_pps(pps, spec, boundaries=False)
    assert picture[:, 0, 0].tolist() == picture[:, 0, 1].tolist() == [0, 0, 142]
    assert len(colors_of(picture)) == 40


def test_parts_differ_from_each_other_and_from_a_missing_part(spec):
    pps = pps_of([[CAR] * 7], [[1] * 7], [[0, 1, 2, 3, 4, 5, VOID]])
    picture = colorize_pps(pps, spec, boundaries=False)
    assert len(colors_of(picture)) == 6
    assert torch.equal(picture[:, 0, 0], picture[:, 0, 6])


def test_part_colors_follow_the_instance(spec):
    pps = pps_of([[CAR, CAR]], [[1, 2]], [[5, 5]])
    assert len(colors_of(colorize_pps(pps, spec, boundaries=False))) == 2


def test_batches_are_colored_like_their_images(spec):
    pps = torch.stack(
        [
            pps_of([[CAR, SKY], [CAR, VOID]], [[1, 0], [2, 0]]),
            pps_of([[SKY, SKY], [PERSON, CAR]], [[0, 0], [3, 300]]),
        ]
    )
    picture = colorize_pps(pps, spec)
    assert torch.equal(picture, torch.stack([colorize_pps(image, spec) for image in pps]))
    assert torch.equal(picture, colorize_pps(pps, spec))
    assert torch.equal(picture, colorize_pps(pps.to(torch.int32), spec))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (0, 3)])
def test_thin_and_void_maps(spec, shape):
    void = torch.full((3, *shape), VOID, dtype=torch.uint8)
    assert not colorize_pps(void, spec).any()
    assert colorize_pps(void, spec).shape == void.shape
    sky = torch.tensor([SKY, 0, 1]).view(3, 1, 1).expand(3, *shape)
    assert colors_of(colorize_pps(sky, spec)) <= {(70, 130, 180)}


@pytest.mark.parametrize(
    ("pps", "message"),
    [
        (pps_of([[SKY, 5, 77]]), r"scene classes \[5, 77\] are not in cpp_default, which has 7, 8"),
        (pps_of([[300, SKY]]), r"scene classes \[300\]"),
        (pps_of([[-1, SKY]]), r"scene classes \[-1\]"),
        (pps_of([[CAR, CAR]], [[1, 1]], [[9, 12]]), "parts 26_09, 26_12 "),
        (pps_of([[CAR]], [[1]], [[300]]), "parts 26_300 "),
        (pps_of([[255]], [[0]], [[300]]), "parts 255_300 "),
        (pps_of([[SKY]], [[0]], [[2]]), "parts 23_02 "),
        (pps_of([[CAR]], [[-1]]), "instance numbers >= 0, found -1"),
        (torch.zeros(2, 4, 4, dtype=torch.int32), r"\(\*B, 3, H, W\), found \(2, 4, 4\)"),
        (torch.zeros(4, 4, dtype=torch.int32), r"\(\*B, 3, H, W\), found \(4, 4\)"),
    ],
)
def test_pps_maps_that_do_not_fit_the_spec(spec, pps, message):
    with pytest.raises(ValueError, match=message):
        colorize_pps(pps, spec)


def test_pps_must_be_integers(spec):
    with pytest.raises(TypeError, match="pps: expected uint8 or a signed integer dtype"):
        colorize_pps(torch.zeros(3, 2, 2), spec)


def panoptic_of(ids, categories):
    infos = [{"id": number, "category_id": c} for number, c in enumerate(categories, start=1)]
    return PanopticSegmentation.from_segments(torch.tensor(ids), infos, capacity=5)


def test_panoptic_segments_have_their_category_colors():
    panoptic = panoptic_of([[1, 2, 3], [0, 2, 4]], [90, 3, 3, 17])
    picture = colorize_panoptic(panoptic, CATEGORIES, boundaries=False)
    assert picture[:, 0, 0].tolist() == [30, 160, 60]
    assert picture[:, 0, 1].tolist() == picture[:, 1, 1].tolist() == [200, 40, 40]
    assert picture[:, 1, 0].tolist() == [0, 0, 0]
    assert len(colors_of(picture)) == 5


def test_segments_of_one_stuff_category_share_its_color():
    picture = colorize_panoptic(panoptic_of([[1, 2]], [90, 90]), CATEGORIES, boundaries=False)
    assert colors_of(picture) == {(30, 160, 60)}


def test_panoptic_targets_and_batches():
    infos = [{"id": 9, "category_id": 17}, {"id": 8, "category_id": 3}]
    target = PanopticTarget.from_segments(torch.tensor([[9, 8], [0, 8]]), infos)
    picture = colorize_panoptic(target, CATEGORIES)
    batch = PanopticTarget(*(torch.stack([field, field]) for field in target))
    assert torch.equal(colorize_panoptic(batch, CATEGORIES), torch.stack([picture, picture]))


def test_an_image_without_segments_is_black():
    panoptic = panoptic_of([[0, 0], [0, 0]], [])
    assert not colorize_panoptic(panoptic, CATEGORIES).any()


def test_unknown_categories_and_segments_are_named():
    panoptic = panoptic_of([[1, 2]], [90, 41])
    with pytest.raises(ValueError, match=r"category ids \[41\]"):
        colorize_panoptic(panoptic, CATEGORIES)
    strange = panoptic_of([[1, 2]], [90, 3])._replace(panoptic_seg=torch.tensor([[1, 7]]))
    with pytest.raises(ValueError, match=r"panoptic_seg: ids \[7\] have no row"):
        colorize_panoptic(strange, CATEGORIES)


def test_palette():
    spec = EvalSpec.load("cpp_default")
    pps = pps_of([[SKY, CAR, VOID]], [[0, 1, 0]], [[1, VOID, 0]])
    own, safe = (colorize_pps(pps, spec, boundaries=False, palette=palette) for palette in PALETTES)
    assert own[:, 0, 1].tolist() == [0, 0, 142] and safe[:, 0, 1].tolist() == [0, 114, 178]
    assert not safe[:, 0, 2].any()
    panoptic = panoptic_of([[1, 2, 0]], [90, 3])
    assert not torch.equal(
        colorize_panoptic(panoptic, CATEGORIES, boundaries=False),
        colorize_panoptic(panoptic, CATEGORIES, boundaries=False, palette="colorblind"),
    )
    for draw in (
        lambda: colorize_pps(pps, spec, palette="gray"),
        lambda: colorize_panoptic(panoptic, CATEGORIES, palette="gray"),
    ):
        with pytest.raises(ValueError, match="palette: expected one of .*, found 'gray'"):
            draw()


@pytest.mark.parametrize("palette", PALETTES)
def test_a_pps_map_and_its_segments_have_one_picture(spec, palette):
    """Where no pixel has a part, and instances are numbered in the order of the segments."""
    pps = pps_of([[SKY, CAR, CAR, VOID, CAR]], [[0, 1, 2, 0, 6]], [[1, VOID, VOID, 0, VOID]])
    numbers = [[1, 2, 3, 0, 4]]
    infos = [{"id": n, "category_id": c} for n, c in ((1, SKY), (2, CAR), (3, CAR), (4, CAR))]
    panoptic = PanopticSegmentation.from_segments(torch.tensor(numbers), infos)
    picture = colorize_panoptic(panoptic, spec.categories, palette=palette)
    assert torch.equal(picture[..., :4], colorize_pps(pps, spec, palette=palette)[..., :4])


def test_every_device_draws_the_same_picture(spec, device):
    generator = torch.Generator().manual_seed(0)
    sids = torch.tensor([ROAD, SKY, CAR, CAR, VOID])[
        torch.randint(5, (40, 50), generator=generator)
    ]
    iids = torch.randint(1, 30, (40, 50), generator=generator) * (sids == CAR)
    pps = torch.stack([sids, iids, torch.where(sids == CAR, 5, 1)])
    assert torch.equal(colorize_pps(pps.to(device), spec).cpu(), colorize_pps(pps, spec))
