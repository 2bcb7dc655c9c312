"""Two evaluations in one page: what changed, by hand; what cannot be compared."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.io.errors import InputError
from pps_torch.pipelines import Tables, eval_partpq, report
from pps_torch.pipelines.html_report.comparison import Change, Comparison
from pps_torch.pipelines.html_report.comparison_page import OUTCOMES, outcome_colors
from pps_torch.pipelines.html_report.summary import group_rows
from tests.cli.small_dataset import edit_sealed
from tests.pipelines.html_report.browser import Page, find_chromium
from tests.pipelines.html_report.report_scene import CAR, OPTIONS, PERSON, ReportScene

pytest.importorskip("jinja2")


class TwoEvaluations(ReportScene):
    """The first takes car 2 for a person; the second finds it, and loses the sky of image a."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.results = [self.evaluate()]
        self.second, self.second_dir = folder / "second", folder / "second_results"
        shutil.copytree(self.pred, self.second)
        self._paint("b_2", (slice(20, 30), slice(30, 50)), (CAR, 1, 1))
        self._paint("a_1", (slice(0, 20), slice(None)), (255, 0, 0))
        arguments = "cpp_default", self.gt, self.second, self.images_json
        options = {"save_dir": self.second_dir, "tables": True, "options": OPTIONS}
        self.results.append(eval_partpq(*arguments, **options))

    def _paint(self, image_id, where, pixel) -> None:
        path = self.second / f"{image_id}.png"
        pps = np.array(Image.open(path))
        pps[where] = pixel
        Image.fromarray(pps).save(path)

    def tables(self) -> list[Tables]:
        return [Tables.load(folder) for folder in (self.save_dir, self.second_dir)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return TwoEvaluations(tmp_path_factory.mktemp("comparison"))


def test_what_changed(scene):
    comparison = Comparison(*scene.tables())
    before, after = scene.results
    groups = {group.label: group.qualities for group in comparison.groups()}
    assert list(groups) == [row["label"] for row in group_rows(comparison.after)]
    for label, members in (("All classes", "all"), ("With parts", "parts")):
        one, other = (getattr(result, members) for result in (before, after))
        for name, change in zip(("pq", "sq", "rq"), groups[label]):
            assert change == Change(getattr(one, name), getattr(other, name))

    classes = {row.info.name: row for row in comparison.classes()}
    for name, row in classes.items():
        one, other = (next(c for c in r.classes.values() if c.name == name) for r in scene.results)
        assert (row.tp, row.fp, row.fn) == (
            (one.tp, other.tp),
            (one.fp, other.fp),
            (one.fn, other.fn),
        )
        for value, expected in zip(row.quality, (one.pq, other.pq)):
            assert value == expected or math.isnan(value) and math.isnan(expected)
    assert classes["car"].fn == (1, 0) and classes["person"].fp == (2, 1)
    assert list(classes)[0] == "car" and list(classes)[-1] == "sky"

    by_id = {image.image_id: image for image in comparison.images()}
    assert list(by_id) == ["a_1", "b_2"], "the sky has more pixels"
    (sky,), (car,) = (by_id[image_id].segments for image_id in ("a_1", "b_2"))
    assert (sky.info.name, sky.before.verdict, sky.after.verdict) == ("sky", "tp", "fn")
    assert (car.info.name, car.before.instance) == ("car", 2)
    assert (car.before.taken_for, car.after.verdict) == (PERSON, "tp")
    assert sky.is_lost and not sky.is_found and car.is_found and not car.is_lost
    assert by_id["a_1"].changed_pixels == 20 * 80 and by_id["b_2"].fp == (2, 1)
    colors = outcome_colors(*(tables.images["b_2"] for tables in scene.tables()))
    assert colors[car.before.index] == OUTCOMES["found"][1]


def test_the_page(scene, tmp_path):
    evaluations = [scene.save_dir, scene.second_dir]
    output = report(evaluations, tmp_path / "a.html", photos=scene.photos, options=OPTIONS)
    page = output.read_text()
    assert "<title>PartPQ " in page and "cpp_default</h1>" in page
    assert "2 images, 2 changed · 1 segment found now · 1 lost now" in page
    assert page.count("<article") == 2 and page.count("<img") == 10
    assert "missed</span>, mostly person" in page and "left void" in page
    words = [str(path) for path in (*evaluations, tmp_path / "b.html")]
    assert main(["report", *words, "--title", "<b>a & b", "--num_images", "0", "--quiet"]) == 0
    page = (tmp_path / "b.html").read_text()
    assert "&lt;b&gt;a &amp; b</h1>" in page and "<article" not in page


def test_a_page_of_one_evaluation_has_a_title(scene, tmp_path):
    page = report(scene.save_dir, tmp_path / "a.html", title="After <lunch>", options=OPTIONS)
    assert "<h1>After &lt;lunch&gt;</h1>" in page.read_text()


def test_nothing_changed(scene, tmp_path):
    page = report([scene.save_dir] * 2, tmp_path / "a.html", options=OPTIONS).read_text()
    assert "Nothing changed in any image" in page and "PartPQ 0.0 ·" in page


def test_images_without_any_quality_before_and_after_are_not_listed(scene):
    """A segment more that lies on void counts nowhere."""
    before, after = scene.tables()
    row = after.images["a_1"][0]
    after.images.update(before.images)
    after.images["a_1"] = [*before.images["a_1"], row._replace(verdict="ignored", is_gt=False)]
    assert [c.image_id for c in Comparison(before, after).images()] == []
    assert Change(math.nan, math.nan).is_none and not Change(math.nan, 0.0).is_none


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "a_1"}, "the same images, found 1 and 2; in one of them alone: b_2$"),
        ({"class": "train"}, r"the same classes, found 19 and 19; .*\(7, 'train', .*\(7, 'road', "),
        ({"is_thing": True}, r"the same classes, .*'road', 'thing', .*'road', 'stuff', "),
        ({"parts": {1: "rail"}}, r"the same classes, .*'road', 'stuff', {1: 'rail'}\), .*, {}\)"),
        ({"instance": 9}, r"the same ground truth of image b_2, found .*\(\d+, 26, 9, \d+\)"),
        ({"area": 9}, r"the same ground truth of image b_2, found .*\(\d+, 26, 2, 9\)"),
        ({"rules": "deeplab2"}, "the same rules, found deeplab2 and coco"),
    ],
)
def test_what_cannot_be_compared(scene, tmp_path, change, message):
    def edit(tables):
        if "images" in change:
            tables["images"] = tables["images"][:1]
        if "class" in change:
            tables["classes"][0]["name"] = change["class"]
        for key in {"is_thing", "parts"} & change.keys():
            tables["classes"][0][key] = change[key]
        for key in {"instance", "area"} & change.keys():
            instance, column = map(tables["segment_columns"].index, ("instance", key))
            segments = tables["images"][1]["segments"]
            next(s for s in segments if s[instance] == 2)[column] = 9
        if "rules" in change:
            tables["inputs"]["rules"] = change["rules"]

    path = tmp_path / "cpp_default_tables.json"
    edit_sealed(scene.save_dir / path.name, edit, path)
    with pytest.raises(InputError, match=f"^expected evaluations with {message}"):
        report([path, scene.second_dir], tmp_path / "a.html", options=OPTIONS)
    assert not (tmp_path / "a.html").exists()


def test_order_and_colors_of_classes_do_not_matter(scene, tmp_path):
    def edit(tables):
        tables["classes"].reverse()
        tables["classes"][0]["color"] = [1, 2, 3]

    path = tmp_path / "cpp_default_tables.json"
    edit_sealed(scene.save_dir / path.name, edit, path)
    comparison = Comparison(Tables.load(path), Tables.load(scene.second_dir))
    assert comparison.groups() == Comparison(*scene.tables()).groups()


def test_wrong_arguments_are_named(scene, tmp_path, capsys):
    folders = [str(scene.save_dir), str(scene.second_dir)]
    with pytest.raises(InputError, match="^evaluation: expected one evaluation or two, found 3"):
        report([*folders, folders[0]], tmp_path / "a.html", options=OPTIONS)
    with pytest.raises(InputError, match="^pred: expected none for two evaluations"):
        report(folders, tmp_path / "a.html", pred=scene.pred, options=OPTIONS)
    assert main(["report", *folders]) == 2, "the second is where the page would go"
    assert "expected the name of a file, found a folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")
def test_in_a_browser(scene, tmp_path):
    html = report([scene.save_dir, scene.second_dir], tmp_path / "a.html", options=OPTIONS)
    with Page(tmp_path / "profile") as page:
        page.open(html)
        first = "document.querySelector('#class-table tbody th').innerText"
        gains = "document.querySelector('#class-table thead th:nth-child(4) button').click()"
        assert page.run(first) == "car"
        page.run(gains)
        assert page.run(first) == "car", "the largest gain is first at once"
        page.run(gains)
        assert page.run(first) == "sky"
        page.open(html, width=390, height=800)
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert page.run(wide), "on a phone only tables scroll"
        assert page.complaints() == [] and page.requests() == [html.as_uri()]
