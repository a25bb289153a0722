"""The pages that `semanticnn run` writes, and folded answers, as a browser lays them out."""

import nbformat
import pytest

from semanticnn_core.runner import pages
from semanticnn_core.runner.sources import NOTEBOOKS, find_sources

pytestmark = pytest.mark.browser
NAMES = [source.stem for source in find_sources()]
CUT = """() => [...document.querySelectorAll("pre")].filter((each) => {
  const {width, right} = each.getBoundingClientRect();  // no width: folded
  return width && (each.scrollWidth > each.clientWidth + 1 || right > innerWidth + 1);
}).map((each) => each.textContent.slice(0, 80))"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Pages of the committed notebooks and of the course plan."""
    folder = tmp_path_factory.mktemp("pages")
    for name in NAMES:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        (folder / f"{name}.html").write_text(pages.render_page(notebook, name, NOTEBOOKS), encoding="utf-8")
    (folder / pages.COURSE).write_text(pages.render_course(NOTEBOOKS / "README.md"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def shown(browser, written, request):
    """One of the pages, opened once; its tests share it and run in this order."""
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto((written / f"{request.param}.html").as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("shown", [*NAMES, "course"], indirect=True)
def test_no_line_is_cut_at_any_width(shown, screenshots, request, width):
    shown.set_viewport_size({"width": width, "height": 900})
    shown.screenshot(path=screenshots / f"page-{request.node.callspec.params['shown']}-{width}.png", full_page=True)
    assert shown.evaluate(CUT) == []
    assert shown.evaluate("() => document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("shown", NAMES, indirect=True)
def test_answers_show_when_they_are_asked_for(shown):
    folded = shown.locator("details")
    assert folded.count() and folded.count() == shown.locator("details:not([open])").count()
    answer = folded.last.locator(":scope > :not(summary)").first
    assert not answer.is_visible()
    folded.last.locator("summary").click()
    assert answer.is_visible() and len(answer.inner_text()) > 20


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("08")])
def test_answers_are_folded_in_jupyterlab(lab, blank, screenshots, name):
    blank.page.goto(f"{lab.url}lab/workspaces/folded/tree/{name}.ipynb?token={lab.token}")
    blank.page.wait_for_selector(".jp-RenderedMarkdown h1")
    folded = blank.page.locator(".jp-RenderedMarkdown details", has_text="Answers")
    folded.scroll_into_view_if_needed()
    answer = folded.locator("li").first
    assert not answer.is_visible()
    folded.locator("summary").click()
    assert answer.is_visible()
    blank.page.screenshot(path=screenshots / f"folded-{name}.png")
