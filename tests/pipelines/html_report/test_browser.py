"""The report in a real browser: what one clicks, types, points at and sees."""

from __future__ import annotations

import base64

import pytest

from pps_torch.pipelines import report
from tests.cli.small_dataset import edit_sealed
from tests.pipelines.html_report.browser import Page, find_chromium
from tests.pipelines.html_report.report_scene import OPTIONS, ReportScene

pytest.importorskip("jinja2")
if find_chromium() is None:
    pytest.skip("needs Chromium or Chrome", allow_module_level=True)

TAB, ENTER, ESCAPE = ("Tab", 9), ("Enter", 13, "\r"), ("Escape", 27)
EVIL = "<script>alert(1)</script>"
SHOWN = "[...document.querySelectorAll('{}')].filter((e) => e.offsetParent).length"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    scene = ReportScene(tmp_path_factory.mktemp("report"))
    scene.evaluate()
    path = scene.folder / "cpp_default_tables.json"

    def edit(tables):
        next(info for info in tables["classes"] if info["name"] == "sky")["name"] = EVIL

    edit_sealed(scene.save_dir / path.name, edit, path)
    return report(path, scene.folder / "report.html", photos=scene.photos, options=OPTIONS)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser, html):
    """The open report; after the test nothing was complained about, nothing was requested."""
    browser.prefer()
    browser.open(html)
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == [html.as_uri()]


def column(page, number):
    return page.run(
        f"[...document.querySelectorAll('#class-table tbody tr')].map((r) => "
        f"r.cells[{number}].innerText.trim())"
    )


def point_at(page, panel, x, y):
    """Points at a pixel of a picture of image b_2 -> the tip's lines."""
    selector = f'.image[data-image="0"] [data-panel="{panel}"] .frame'
    page.mouse("mouseMoved", *page.place_in(selector, (x + 0.5) / 80, (y + 0.5) / 40))
    page.wait_for("!document.getElementById('tip').hidden")
    page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    return page.run("document.getElementById('tip').innerText").split("\n")


def darkness(page, panel, x, y):
    """How dark the spotlight leaves a pixel of a picture of image b_2."""
    return page.run(
        f'document.querySelector(\'.image[data-image="0"] [data-panel="{panel}"] canvas\')'
        f".getContext('2d').getImageData({x}, {y}, 1, 1).data[3]"
    )


def test_clicks_sort(page):
    names = column(page, 0)
    assert EVIL in names
    page.click("#class-table th:nth-child(2) button")
    header = "document.querySelector('#class-table th:nth-child(2)').getAttribute('aria-sort')"
    assert page.run(header) == "descending"
    values = [float(text) for text in column(page, 1)]
    assert values == sorted(values, reverse=True) and len(set(values)) > 2
    page.click("#class-table th:nth-child(2) button")
    assert page.run(header) == "ascending"
    assert [float(text) for text in column(page, 1)] == sorted(values)
    page.click("#class-table th:nth-child(1) button")
    assert page.run(header) is None
    assert column(page, 0) == sorted(names)


def test_clicks_filter(page):
    assert page.run(SHOWN.format(".worst li")) > 3
    page.run("document.querySelector('#class-filter').focus()")
    page.run(
        "(() => { const s = document.querySelector('#class-filter');"
        "s.value = '24'; s.dispatchEvent(new Event('change')); })()"
    )
    names = page.run(
        "[...document.querySelectorAll('.worst li')].filter((e) => e.offsetParent)"
        ".map((e) => e.querySelector('.name').innerText)"
    )
    assert names == ["person 1", "person 3"]
    assert page.run(SHOWN.format(".image")) == 1
    page.run(
        "(() => { const s = document.querySelector('#verdict-filter');"
        "s.value = 'fn'; s.dispatchEvent(new Event('change')); })()"
    )
    assert page.run(SHOWN.format(".image")) == 0
    assert "0 of 0 segments, 0 of 2 images" in page.run("document.body.innerText")
    assert page.run(SHOWN.format(".none")) == 2
    page.click('#class-table .link[data-class="26"]')
    assert page.run("document.querySelector('#class-filter').value") == "26"
    assert page.run(SHOWN.format(".worst li")) == 1


def test_hover_says_what_is_there(page):
    lines = point_at(page, "gt", 6, 22)
    assert lines[:4] == [
        "Truth",
        "car 1 · windows · matched",
        "Predicted",
        "car 5 · wheels · matched",
    ]
    assert lines[4:] == ["IoU", "100.0 %", "Part IoU", "50.0 %", "… of windows", "0.0 %"]
    assert darkness(page, "gt", 6, 22) == 0 < darkness(page, "gt", 40, 25)
    assert darkness(page, "pred", 6, 28) == 0 < darkness(page, "pred", 3, 28)

    lines = point_at(page, "photo", 40, 25)
    assert lines[1].startswith("car 2 · windows · missed")
    assert lines[3] == "person 1 · torso · false positive" and len(lines) == 4
    lines = point_at(page, "errors", 60, 25)
    assert lines[1] == "person · no part label · crowd" and lines[3] == "person 2 · torso · ignored"
    lines = point_at(page, "pred", 78, 5)
    assert lines[1] == "void" and lines[3] == f"{EVIL} · matched"

    page.press(*ESCAPE)
    assert page.run("document.getElementById('tip').hidden")
    page.mouse("mouseMoved", 2, 2)
    assert darkness(page, "gt", 40, 25) == 0


def test_tap_says_what_is_there_on_a_phone(page):
    page.resize(390, 844)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = page.place_in('.image[data-image="0"] [data-panel="gt"] .frame', 6.5 / 80, 22.5 / 40)
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    page.wait_for("!document.getElementById('tip').hidden")
    assert "car 1 · windows" in page.run("document.getElementById('tip').innerText")
    box = page.run("document.getElementById('tip').getBoundingClientRect().toJSON()")
    assert box["left"] >= 0 and box["right"] <= 390
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_keyboard_reaches_everything(page):
    page.press(*TAB)
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0
    page.press(*ENTER)
    assert page.run("document.activeElement.id") == "main"
    page.run("document.querySelector('#class-table th:nth-child(3) button').focus()")
    page.press(*ENTER)
    sort = "document.querySelector('#class-table th:nth-child(3)').getAttribute('aria-sort')"
    assert page.run(sort) == "descending"
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    page.run("document.querySelector('.image summary').focus()")
    page.press(*ENTER)
    page.wait_for("document.querySelectorAll('.image details tbody tr').length === 11")
    rows = "[...document.querySelectorAll('.image details tbody button')]"
    page.run(f"{rows}.find((b) => b.innerText === 'car 1').focus()")
    page.wait_for("document.querySelector('[aria-current]') !== null")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert "car 1" in page.run("document.querySelector('[aria-current]').innerText")
    assert darkness(page, "gt", 6, 22) == 0 < darkness(page, "gt", 40, 25)
    every = "button, a, select, summary, [tabindex='0']"
    assert (
        page.run(
            f'[...document.querySelectorAll("{every}")].filter((e) => e.offsetParent && '
            "!(e.innerText || e.getAttribute('aria-label') || e.labels?.length))"
            ".map((e) => e.outerHTML)"
        )
        == []
    )


def test_card_leads_to_its_image(page):
    page.click('.worst [data-gt="true"][data-image="0"]')
    page.wait_for("document.activeElement.tagName === 'SUMMARY'")
    page.run("new Promise((done) => setTimeout(done, 300))")
    assert darkness(page, "gt", 40, 25) == 0 < darkness(page, "gt", 6, 22)
    # The cards have drawn their cuttings.
    context = "document.querySelector('.worst canvas').getContext('2d')"
    page.wait_for(f"{context}.getImageData(120, 75, 1, 1).data[3] === 255")


def test_confusion_by_pixels_or_segments(page):
    assert page.run(SHOWN.format('.confusion[data-unit="pixels"]')) == 1
    page.click('.choice [data-unit="segments"]')
    assert page.run(SHOWN.format('.confusion[data-unit="pixels"]')) == 0
    assert "car taken for person" in page.run(
        "document.querySelector('.confusion[data-unit=\"segments\"] .mix-ups').innerText"
    )


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2000])
def test_no_width_scrolls_sideways(page, width):
    page.resize(width, 800)
    page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_light_dark_and_motion(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    scrolling = "getComputedStyle(document.documentElement).scrollBehavior"
    page.prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    assert page.run(ground) == "rgb(247, 247, 245)" and page.run(scrolling) == "smooth"
    page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    assert page.run(ground) == "rgb(18, 20, 23)" and page.run(scrolling) == "auto"
    page.click("#theme")
    assert page.run(ground) == "rgb(247, 247, 245)"
    page.click("#theme")
    assert page.run(ground) == "rgb(18, 20, 23)"
    assert (
        page.run("document.getElementById('theme').getAttribute('aria-label')") == "Colours: dark"
    )


@pytest.mark.slow
def test_the_checks_can_fail(browser, html, tmp_path):
    """A page that asks for something, or has an error, is noticed."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>undefinedName()</script>")
    browser.open(bad)
    browser.wait_for("true")
    assert "http://127.0.0.1:9/x.png" in browser.requests()
    assert "undefinedName" in "".join(browser.complaints())
    policy = html.read_text().replace("</main>", "<script>alert(1)</script></main>", 1)
    bad.write_text(policy)
    browser.open(bad)
    assert "Content Security Policy" in "".join(browser.complaints())


def test_paper_has_all_pictures(page):
    """Also those that never came into view."""
    cuttings = "[...document.querySelectorAll('.worst canvas')]"
    drawn = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    page.wait_for(f"{cuttings}.length > 3 && {cuttings}.every({drawn})")
    printed = base64.b64decode(page.call("Page.printToPDF")["data"])
    assert printed.count(b"/Subtype /Image") >= 8, "four panels of each image"
