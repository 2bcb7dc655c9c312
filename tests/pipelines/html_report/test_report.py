"""The report's file, without a browser: escaping, limits, contrasts, refusals."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pps_torch.cli.main import main
from pps_torch.io.errors import InputError
from pps_torch.metrics import SegmentRecord
from pps_torch.pipelines import eval_pq, report
from pps_torch.pipelines.evaluation_tables import ClassInfo, Tables
from pps_torch.pipelines.html_report import summary
from pps_torch.pipelines.html_report.pictures import draw_pictures
from pps_torch.pipelines.html_report.rendering import TEMPLATES
from pps_torch.pipelines.html_report.scenes import PartScenes
from pps_torch.visualization import PixelError
from tests.cli.small_dataset import edit_sealed
from tests.pipelines.html_report.report_scene import CAR, OPTIONS, ReportScene

pytest.importorskip("jinja2")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = ReportScene(tmp_path_factory.mktemp("report"))
    scene.evaluate()
    return scene


class Elements(HTMLParser):
    """The elements of a page, and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_page_stands_alone(scene, tmp_path):
    path = report(scene.save_dir, tmp_path / "r" / "a.html", photos=scene.photos, options=OPTIONS)
    page = Elements(path.read_text())
    assert len(page.named("img")) == 8
    sources = [a.get("src") or a.get("href") or "" for _, a in page.found]
    assert all(s == "" or s.startswith(("data:", "#")) for s in sources)
    assert not page.named("link")[0]["href"].startswith("http")
    assert path.stat().st_size < 150_000
    headline = f"{100 * Tables.load(scene.save_dir).result['summary']['PartPQ']:.1f}"
    assert headline in page.text


def test_names_are_text(scene, tmp_path):
    evil, changed = "<script>alert(1)</script>", tmp_path / "evil_tables.json"

    def edit(tables):
        tables["name"] = "</title><script>alert(2)</script>"
        (car,) = (info for info in tables["classes"] if info["id"] == CAR)
        car["name"] = evil
        car["parts"] = {pid: f'"><img src=x onerror=alert({pid})>' for pid in car["parts"]}

    edit_sealed(scene.save_dir / "cpp_default_tables.json", edit, changed)
    html = report(changed, tmp_path / "evil.html", options=OPTIONS).read_text()
    page = Elements(html)
    assert len(page.named("script")) == 2 and evil in page.text
    assert "<script>alert" not in html and "<img src=x" not in html
    assert not any(key.startswith("on") for _, attributes in page.found for key in attributes)


@pytest.mark.slow
def test_size_has_a_limit(scene, tmp_path):
    def images(**limits):
        path = report(
            *(scene.save_dir, tmp_path / "a.html"),
            **limits,
            options=replace(OPTIONS, overwrite=True),
        )
        return [a["aria-label"] for a in Elements(path.read_text()).named("article")]

    assert images() == ["b_2", "a_1"]
    assert images(num_images=1) == ["b_2"]
    assert images(num_images=0) == []
    sizes = {n: images(num_images=n) and (tmp_path / "a.html").stat().st_size for n in (1, 2)}
    assert images(max_size=sizes[2] / 1e6) == ["b_2", "a_1"]
    assert images(max_size=(sizes[2] - 1) / 1e6) == ["b_2"]
    assert (tmp_path / "a.html").stat().st_size == sizes[1]
    with pytest.raises(InputError, match="^max_size: expected room for the page without images"):
        images(max_size=1e-3)


def _scenes(scene):
    tables = Tables.load(scene.save_dir)
    return PartScenes(tables, list(tables.images), None, None, "class")


def test_errors_are_those_of_the_matches(scene):
    found = _scenes(scene).read("b_2", 768)
    errors = {name: int(found.errors[y, x]) for name, (y, x) in POINTS.items()}
    assert errors == {
        "sky": PixelError.AGREED,
        "windows": PixelError.WRONG_PART,
        "wheels": PixelError.AGREED,
        "missed car": PixelError.WRONG_CLASS,
        "crowd": PixelError.VOID,
        "invented person": PixelError.EXTRA,
        "void": PixelError.VOID,
    }
    assert found.gt_parts[27, 6] == 2 and found.gt_parts[30, 60] == 0


POINTS = {
    "sky": (15, 3),
    "windows": (22, 6),
    "wheels": (27, 6),
    "missed car": (25, 40),
    "crowd": (25, 60),
    "invented person": (5, 50),
    "void": (5, 78),
}


def test_maps_survive_packing_and_shrinking(scene):
    import base64
    import zlib

    scenes = _scenes(scene)
    whole = scenes.read("b_2", 768)
    for side in (768, 80, 37):
        pictures = draw_pictures(scenes.read("b_2", side), None)
        width, height = pictures.width, pictures.height
        assert (width, height) == ((80, 40) if side > 37 else (37, 18))
        content = zlib.decompress(base64.b64decode(pictures.maps))
        gt = np.frombuffer(content, "<u2", width * height).reshape(height, width)
        rows = ((np.arange(height) + 0.5) * 40 / height).astype(int)
        columns = ((np.arange(width) + 0.5) * 80 / width).astype(int)
        expected = whole.gt.numpy()[np.ix_(rows, columns)]
        assert np.array_equal(np.cumsum(gt, 1, dtype=np.uint16), expected)


def test_more_segments_than_two_bytes_number(scene):
    import base64
    import zlib

    small = _scenes(scene).read("b_2", 768)
    pictures = draw_pictures(small._replace(gt=small.gt + 65_536), None)
    assert (draw_pictures(small, None).segment_bytes, pictures.segment_bytes) == (2, 4)
    gt = np.frombuffer(zlib.decompress(base64.b64decode(pictures.maps)), "<u4", small.gt.numel())
    rows = np.cumsum(gt.reshape(small.gt.shape), 1, dtype=np.uint32)
    assert np.array_equal(rows, small.gt.numpy() + 65_536)


def test_changed_files_are_noticed(scene, tmp_path):
    other = ReportScene(tmp_path / "other")
    for path in other.pred.glob("b_2*"):
        path.write_bytes(next(other.pred.glob("a_1*")).read_bytes())
    with pytest.raises(InputError, match="image b_2: expected the files of the evaluation"):
        report(scene.save_dir, tmp_path / "a.html", pred=other.pred, options=OPTIONS)
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num_images", "-1"], "--num_images: expected 0 or more"),
        (["--side", "3"], "--side: expected 16..8192"),
        (["--max_size", "0"], "--max_size: expected megabytes above 0"),
        (["--gt", "nowhere"], "nowhere: expected the folder"),
        (["--photos", "nowhere"], "nowhere: expected the folder"),
    ],
)
def test_bad_arguments(scene, tmp_path, capsys, options, message):
    arguments = ["report", str(scene.save_dir), str(tmp_path / "a.html"), "--quiet", *options]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_existing_file_needs_overwrite(scene, tmp_path, capsys):
    path = tmp_path / "a.html"
    path.write_text("mine")
    assert main(["report", str(scene.save_dir), str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err and path.read_text() == "mine"


def test_without_jinja2_the_error_names_the_extra(scene, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r"pps_torch\[report\]"):
        report(scene.save_dir, tmp_path / "a.html", options=OPTIONS)


def test_confusion_shows_the_most_confused_classes():
    num_classes = summary.MOST_CONFUSED_CLASSES + 8
    classes = [ClassInfo(i, f"c{i}", True, None, {}) for i in range(num_classes)]
    counts = np.zeros((num_classes, num_classes + 1), np.int64)
    np.fill_diagonal(counts, 100)
    counts[39, 38], counts[2, num_classes] = 25, 50
    tables = Tables("PQ", "pq", {}, classes, {}, counts, {}, {})
    confusion = summary.pixel_confusion(tables)
    assert len(confusion.rows) == summary.MOST_CONFUSED_CLASSES and confusion.num_hidden == 8
    assert [(m.gt.id, m.pred and m.pred.id, m.count) for m in confusion.mix_ups] == [
        (2, None, 50),
        (39, 38, 25),
    ]
    assert [m.share for m in confusion.mix_ups] == [50 / 150, 0.2]


def test_segment_confusion_counts_what_covers_most():
    classes = [ClassInfo(i, f"c{i}", True, None, {}) for i in (3, 7)]
    base = SegmentRecord(True, 1, 3, None, 10, "fn", None, None, None, {}, 7, 0.8)
    segments = [
        base,
        base._replace(verdict="crowd"),
        base._replace(is_gt=False, verdict="fp"),
        base._replace(taken_for=None),
        base._replace(class_id=7),
    ]
    tables = Tables("PQ", "pq", {}, classes, {}, np.zeros((2, 3), np.int64), {"a": segments}, {})
    rows = summary.segment_confusion(tables).rows
    assert [[cell.count for cell in row.cells] for row in rows] == [[0, 1, 1], [0, 1, 0]]


# Pairs of colours and the least contrast that WCAG 2 AA asks for: 4.5 text, 3 what is no text.
CONTRASTS = [
    *[
        (text, ground, 4.5)
        for text in ("text", "muted", "accent")
        for ground in ("page", "surface")
    ],
    *[(verdict, ground, 4.5) for verdict in ("tp", "fn", "fp") for ground in ("surface", "track")],
    *[(text, "track", 4.5) for text in ("text", "muted", "accent")],
    *[(mark, "surface", 3) for mark in ("bar", "bar-quiet", "control", "accent")],
    ("control", "page", 3),
]


def _colors(theme: int) -> dict[str, np.ndarray]:
    css = (TEMPLATES / "style.css").read_text()
    pairs = re.findall(r"--([a-z-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\);", css)
    return {
        name: np.frombuffer(bytes.fromhex(pair[theme]), np.uint8) / 255 for name, *pair in pairs
    }


def _contrast(one: np.ndarray, other: np.ndarray) -> float:
    def luminance(rgb):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrasts(theme):
    colors = _colors(theme)
    for one, other, least in CONTRASTS:
        assert _contrast(colors[one], colors[other]) >= least, (one, other)
    # Cells of the confusion are mixed with the surface, these at most.
    for name, most in (("same", 0.45), ("other", 0.58)):
        cell = most * colors[name] + (1 - most) * colors["surface"]
        assert _contrast(colors["text"], cell) >= 4.5, name
    assert _contrast(np.zeros(3), np.ones(3)) == pytest.approx(21)


def test_script_has_no_way_to_set_html():
    script = (TEMPLATES / "script.js").read_text()
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
    ):
        assert name not in script
    assert "</script" not in script


@pytest.mark.slow
def test_gallery_of_pq(tmp_path):
    from pps_torch.specs import EvalSpec
    from pps_torch.synthetic.street_files import StreetFolders, write_streets

    folders = StreetFolders(tmp_path / "streets")
    write_streets(folders, EvalSpec.load("cpp_default"), (96, 192), 2)
    gt = folders.gt_panoptic_json
    eval_pq(gt, gt, save_dir=tmp_path, tables=True, options=OPTIONS)
    path = report(
        *(tmp_path, tmp_path / "a.html"),
        photos=folders.photos,
        palette="colorblind",
        options=OPTIONS,
    )
    page = Elements(path.read_text())
    assert len(page.named("article")) == 2 and "PartPQ" not in page.text
