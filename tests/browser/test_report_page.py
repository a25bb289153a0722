"""The page of `semanticnn report` as its readers meet it: narrow and wide, light and dark, offline, and read aloud."""

import os
from pathlib import Path

import pytest
from driver import Watched

from semanticnn_core import cli

pytestmark = pytest.mark.browser

LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (390, 1440)]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    cli.main(["report", "--images", "64", "--out", str(folder)])
    return folder / "report.html"


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: "-".join(map(str, look)))
def shown(browser, page_file, request):
    """The page in one look; tests of one look share it and run in this order."""
    scheme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = Watched(context.new_page(), f"{scheme}-{width}")
    page.page.goto(page_file.as_uri())
    yield page
    context.close()


def test_it_fits_asks_nobody_and_shows_every_picture(shown, screenshots):
    assert shown.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    pictures = shown.page.evaluate("[...document.images].map((each) => [each.alt, each.naturalWidth])")
    assert len(pictures) > 20 and all(alt and width for alt, width in pictures)
    assert shown.strangers == set() and shown.complaints == []
    shown.page.screenshot(path=screenshots / f"report-{shown.name}.png", full_page=True)


def test_text_stands_out_from_its_ground(shown):
    ground, ink = shown.page.evaluate(
        "['background-color', 'color'].map((name) => getComputedStyle(document.body).getPropertyValue(name)"
        ".match(/\\d+/g).slice(0, 3).map(Number).reduce((sum, each) => sum + each, 0) / 765)"
    )
    assert (ground > 0.9 and ink < 0.2) if "light" in shown.name else (ground < 0.15 and ink > 0.8)


def test_nothing_serious_stands_in_the_path_of_screen_readers(shown):
    """`SEMANTICNN_AXE` names axe.min.js of the npm package axe-core."""
    if not (axe := os.environ.get("SEMANTICNN_AXE")):
        pytest.skip("SEMANTICNN_AXE does not name an axe.min.js: npm install axe-core")
    shown.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    shown.page.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = shown.page.evaluate("async () => (await axe.run()).violations.map((each) => [each.impact, each.id])")
    assert [each for each in found if each[0] in ("serious", "critical")] == []
