"""The visualizer stands where Detectron2's stands, and shows the pictures of the package."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")
pytest.importorskip("cv2", reason="Detectron2's visualizer needs OpenCV")

from detectron2.data import Metadata
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer
from PIL import Image

from pps_torch import EvalSpec, PanopticSegmentation
from pps_torch.integrations.detectron2.visualizer import PPSVisualizer
from pps_torch.visualization import PALETTES, colorize_panoptic, colorize_pps, overlay

SIZE = (60, 90)
SPEC = EvalSpec.load("cpp_default")
METADATA = Metadata(
    thing_classes=["cat", "dog"],
    stuff_classes=["things", "grass", "sky"],
    thing_colors=[(200, 40, 40), (40, 40, 200)],
    stuff_colors=[(0, 0, 0), (30, 160, 60), (90, 150, 230)],
    label_divisor=1000,
)
SEGMENTS = [
    {"id": 1, "category_id": 0, "isthing": True, "score": 0.91},
    {"id": 2, "category_id": 0, "isthing": True, "score": 0.5},
    {"id": 3, "category_id": 1, "isthing": False, "area": 2400},
    {"id": 4, "category_id": 2, "isthing": False, "area": 4},
]


@pytest.fixture(autouse=True)
def without_text(request, monkeypatch):
    """Names cover pixels; the tests that compare pixels go without."""
    if "text" not in request.node.name:
        monkeypatch.setattr(Visualizer, "draw_text", lambda self, *_, **__: self.output)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def panoptic_seg():
    ids = torch.zeros(SIZE, dtype=torch.int32)
    ids[20:] = 3
    ids[30:50, 10:40] = 1
    ids[30:50, 40:70] = 2
    ids[:2, :2] = 4
    return ids


def expected(photo, panoptic_seg, alpha, palette="class"):
    """The same picture from tensors: the categories of the metadata, things first."""
    categories = [
        {"id": 0, "isthing": 1, "color": (200, 40, 40)},
        {"id": 1, "isthing": 1, "color": (40, 40, 200)},
        {"id": 2, "isthing": 0, "color": (30, 160, 60)},
        {"id": 3, "isthing": 0, "color": (90, 150, 230)},
    ]
    infos = [{"id": n, "category_id": c} for n, c in ((1, 0), (2, 0), (3, 2), (4, 3))]
    infos = [info for info in infos if (panoptic_seg == info["id"]).any()]
    panoptic = PanopticSegmentation.from_segments(panoptic_seg, infos)
    colored = colorize_panoptic(panoptic, categories, palette=palette)
    photo = torch.from_numpy(photo).permute(2, 0, 1)
    return overlay(photo, colored, panoptic_seg == 0, alpha).permute(1, 2, 0).numpy()


def test_signatures_are_those_of_detectron2():
    ours = inspect.signature(PPSVisualizer.__init__).parameters
    theirs = inspect.signature(Visualizer.__init__).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in theirs)
    for name in ("draw_panoptic_seg", "draw_panoptic_seg_predictions"):
        ours, theirs = (
            inspect.signature(getattr(cls, name)).parameters for cls in (PPSVisualizer, Visualizer)
        )
        assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in theirs.items()}


@pytest.mark.parametrize("palette", PALETTES)
def test_the_overlay_is_the_picture_from_tensors(photo, panoptic_seg, palette):
    visualizer = PPSVisualizer(photo, METADATA, palette=palette)
    output = visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS)
    assert isinstance(output, VisImage) and output is visualizer.output
    assert np.array_equal(output.get_image(), expected(photo, panoptic_seg, 0.7, palette))


def test_detectron2_gets_the_same_arguments(photo, panoptic_seg, tmp_path):
    """And both can be saved and scaled."""
    for kind in (Visualizer, PPSVisualizer):
        output = kind(photo, METADATA, scale=2.0).draw_panoptic_seg_predictions(
            panoptic_seg, SEGMENTS, area_threshold=10, alpha=0.5
        )
        assert output.get_image().shape == (2 * SIZE[0], 2 * SIZE[1], 3)
        output.save(str(tmp_path / "picture.png"))
        assert Image.open(tmp_path / "picture.png").size == (2 * SIZE[1], 2 * SIZE[0])


def test_small_stuff_is_left_out(photo, panoptic_seg):
    without = torch.where(panoptic_seg == 4, 0, panoptic_seg)
    visualizer = PPSVisualizer(photo, METADATA)
    picture = visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS, area_threshold=10).get_image()
    assert np.array_equal(picture, expected(photo, without, 0.7))


def test_labels_instead_of_segments(photo, panoptic_seg):
    """Detectron2's Panoptic-DeepLab: category * divisor + instance, -1 is void, 0 a category."""
    metadata = Metadata(
        thing_classes=["cat", "dog", "grass", "sky"],
        stuff_classes=["cat", "dog", "grass", "sky"],
        thing_colors=[*METADATA.thing_colors, *METADATA.stuff_colors[1:]],
        stuff_colors=[*METADATA.thing_colors, *METADATA.stuff_colors[1:]],
        thing_dataset_id_to_contiguous_id={7: 0, 8: 1},
        stuff_dataset_id_to_contiguous_id={9: 2, 10: 3},
        label_divisor=1000,
    )
    label_of = torch.tensor([-1, 0, 1, 2000, 3000])
    picture = PPSVisualizer(photo, metadata).draw_panoptic_seg(label_of[panoptic_seg], None)
    assert np.array_equal(picture.get_image(), expected(photo, panoptic_seg, 0.7))


def test_pps(photo):
    pps = torch.zeros(3, *SIZE, dtype=torch.int32)
    pps[0], pps[2] = 7, 1
    pps[:, 10:30, 10:40] = torch.tensor([26, 1, 5]).view(3, 1, 1)
    pps[:, 10:30, 40:60] = torch.tensor([26, 2, 1]).view(3, 1, 1)
    pps[:, 40:] = torch.tensor([255, 0, 255]).view(3, 1, 1)
    picture = PPSVisualizer(photo).draw_pps(pps, SPEC, alpha=0.4).get_image()
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    same = overlay(tensor, colorize_pps(pps, SPEC), pps[0] == 255, 0.4)
    assert np.array_equal(picture, same.permute(1, 2, 0).numpy())
    assert np.array_equal(picture[40:], photo[40:])


def test_void_is_gray_in_black_and_white_mode(photo, panoptic_seg):
    visualizer = PPSVisualizer(photo, METADATA, instance_mode=ColorMode.IMAGE_BW)
    picture = visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS).get_image()
    assert (picture[5:15].max(-1) == picture[5:15].min(-1)).all()
    assert np.array_equal(picture[25:], expected(photo, panoptic_seg, 0.7)[25:])


def test_text_has_names_and_scores_of_segments_that_hold_it(photo, panoptic_seg):
    visualizer = PPSVisualizer(photo, METADATA, font_size_scale=0.8)
    visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS)
    texts = visualizer.output.ax.texts
    assert sorted(t.get_text() for t in texts) == ["cat 50%", "cat 91%", "grass"]
    for text in texts:
        x, y = text.get_position()
        name = text.get_text()
        assert int(panoptic_seg[y, x]) == {"cat 91%": 1, "cat 50%": 2, "grass": 3}[name]


def test_other_drawings_stay_detectron2s(photo, panoptic_seg):
    visualizer = PPSVisualizer(photo, METADATA)
    visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS)
    picture = visualizer.draw_box((10, 30, 40, 50), edge_color="w").get_image()
    assert not np.array_equal(picture, expected(photo, panoptic_seg, 0.7))


def test_what_does_not_fit_is_named(photo, panoptic_seg):
    visualizer = PPSVisualizer(photo, METADATA)
    with pytest.raises(ValueError, match=r"one id for void, found \[0, 4\]"):
        visualizer.draw_panoptic_seg(panoptic_seg, SEGMENTS[:3])
    wrong = [*SEGMENTS[:3], {"id": 4, "category_id": 5, "isthing": False}]
    with pytest.raises(ValueError, match="segment 4: expected a stuff category .* found 5"):
        visualizer.draw_panoptic_seg(panoptic_seg, wrong)
    with pytest.raises(ValueError, match="photo: expected the size of the coloured map, 60 x 80"):
        visualizer.draw_panoptic_seg(panoptic_seg[:, :80], SEGMENTS)
