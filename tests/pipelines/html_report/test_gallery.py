"""The gallery of many classes and images in a browser: honest totals, pages, a search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pps_torch.io.images import write_rgb_ids
from pps_torch.pipelines import eval_pq, report
from tests.pipelines.html_report.browser import Page, find_chromium
from tests.pipelines.html_report.report_scene import OPTIONS

pytest.importorskip("jinja2")
if find_chromium() is None:
    pytest.skip("needs Chromium or Chrome", allow_module_level=True)

NUM_CLASSES, NUM_IMAGES = 36, 18
TEXT = "document.querySelector('{}').innerText"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """In image i the classes 2i and 2i + 1 are missed, and class 0, which each image has, too."""
    folder = tmp_path_factory.mktemp("gallery")
    categories = [{"id": i, "name": f"class {i}", "isthing": 1} for i in range(NUM_CLASSES)]
    for name in ("gt", "pred"):
        entries = []
        (folder / name).mkdir()
        for i in range(NUM_IMAGES):
            classes = dict(enumerate(sorted({0, 2 * i, 2 * i + 1}), start=1))
            ids = np.repeat(np.repeat([[*classes]], 20, 0), 10, 1) * (name == "gt")
            write_rgb_ids(folder / name / f"{i}.png", ids)
            segments = [{"id": k, "category_id": c} for k, c in classes.items() if k in ids]
            entry = {"image_id": i, "file_name": f"{i}.png", "segments_info": segments}
            entries.append(entry)
        content = {"annotations": entries, "categories": categories}
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = (folder / "gt.json", folder / "pred.json")
    eval_pq(*files, save_dir=folder, tables=True, options=OPTIONS)
    return report(folder, folder / "a.html", num_images=14, options=OPTIONS)


@pytest.fixture(scope="module")
def page(html, tmp_path_factory):
    with Page(tmp_path_factory.mktemp("profile")) as page:
        page.open(html)
        yield page
        assert page.complaints() == []


def choose(page, class_id: str) -> None:
    page.run(
        f"(() => {{ const s = document.querySelector('#class-filter'); s.value = '{class_id}';"
        "s.dispatchEvent(new Event('change')); })()"
    )


def test_totals_are_those_of_the_evaluation(page):
    choose(page, "")
    assert "42 of 53 segments, 14 of 14 images" in page.run(TEXT.format("#shown"))
    choose(page, "0")
    assert "14 of 18 segments" in page.run(TEXT.format("#shown"))
    assert page.run(TEXT.format('[data-verdict="fn"] .total')) == "14 shown of 18"
    choose(page, "35")  # of an image that is not shown
    assert page.run(TEXT.format('[data-verdict="fn"] .total')) == "0 shown of 1"


def test_segments_and_images_have_pages(page):
    choose(page, "0")
    pages, shown = '[data-verdict="fn"] .pages', "document.querySelectorAll('.worst li').length"
    assert page.run(TEXT.format(pages + " span")) == "1–12 of 14" and page.run(shown) == 12
    page.click(pages + " button:last-child")
    assert page.run(TEXT.format(pages + " span")) == "13–14 of 14" and page.run(shown) == 2
    page.click(pages + " button:last-child")  # there is no further page
    assert page.run(TEXT.format(pages + " span")) == "13–14 of 14"
    images = "[...document.querySelectorAll('.image')].filter((e) => e.offsetParent).length"
    assert page.run(images) == 6
    last = page.run("document.querySelector('.worst li:last-child button').dataset.image")
    page.click(".worst li:last-child button")
    assert page.run(
        f"document.querySelector('.image[data-image=\"{last}\"]').offsetParent !== null"
    )


def test_search_of_many_classes(page):
    rows = "[...document.querySelectorAll('#class-table tbody tr')].filter((r) => r.offsetParent)"
    assert page.run(f"{rows}.length") == NUM_CLASSES
    for text, count in (("CLASS 3", 7), ("zebra", 0), ("", NUM_CLASSES)):
        page.run(
            f"(() => {{ const s = document.querySelector('#class-search'); s.value = '{text}';"
            "s.dispatchEvent(new Event('input')); })()"
        )
        assert page.run(f"{rows}.length") == count


def test_paper_has_no_controls_and_keeps_its_colors(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    for selector in (".top", ".filter", ".pages", "#tip", "#class-search"):
        display = f"getComputedStyle(document.querySelector('{selector}')).display"
        assert page.run(display) == "none", selector
    swatch = "getComputedStyle(document.querySelector('.swatch')).printColorAdjust"
    assert page.run(swatch) == "exact"
    page.call("Emulation.setEmulatedMedia", media="")
