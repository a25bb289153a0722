"""Browsers, servers and opened notebooks for the browser tests; without Chromium or Playwright these are skipped."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from driver import BROWSERS, VIEWPORT, Watched, find_browser, launch
from servers import LAB, VOILA, Server, notebook_names, overhearing, serve, write_notebooks

PANELS = ("01", "04")
"""Numbers of the notebooks with a live panel among much else."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", type=Path, help="keep the browser tests' pictures in this folder")


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for pictures of the pages; the option is known where tests/browser is named on the command line."""
    folder = request.config.getoption("screenshots", None) or tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")  # not the session: Playwright's event loop would run on through all other tests
def browser():
    missing = 'Playwright is missing: pip install -e ".[test]"'
    api = pytest.importorskip("playwright.sync_api", reason=missing, exc_type=ImportError)
    if not find_browser():
        pytest.skip(f"none of {', '.join(BROWSERS)} found: apt install chromium, or what your system calls it")
    with api.sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def blank(browser) -> Iterator[Watched]:
    """An empty page."""
    context = browser.new_context()
    yield Watched(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def overheard() -> Iterator[tuple[dict[str, str], list[str]]]:
    with overhearing() as both:
        yield both


@pytest.fixture(scope="session")
def asked_by_servers(overheard: tuple[dict[str, str], list[str]]) -> list[str]:
    """What servers and kernels have asked other machines for so far."""
    return overheard[1]


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks, without outputs; of some, what their panels need."""
    return write_notebooks(tmp_path_factory.mktemp("repository") / "notebooks", PANELS)


@pytest.fixture(scope="session")
def lab(notebooks: Path, overheard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab on these notebooks."""
    with serve(LAB, notebooks, tmp_path_factory.mktemp("lab"), overheard[0]) as server:
        yield server


PAGES = [("lab", name) for name in notebook_names("00", *PANELS)]
PAGES += [("voila", name) for name in notebook_names("00")]


@pytest.fixture(scope="module", params=PAGES, ids="-".join)
def opened(browser, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A notebook in JupyterLab with all its cells run, or Voilà's page of it."""
    where, name = request.param
    context = browser.new_context(viewport=VIEWPORT)
    page = Watched(context.new_page(), name)
    if where == "lab":
        page.run_in_lab(request.getfixturevalue("lab"))
        yield page
        page.close_kernels()
    else:
        if not find_spec("voila"):
            pytest.skip('Voilà is missing: pip install -e ".[app]"')
        notebooks, (env, _) = request.getfixturevalue("notebooks"), request.getfixturevalue("overheard")
        with serve((*VOILA, f"{name}.ipynb"), notebooks, tmp_path_factory.mktemp("voila"), env) as server:
            page.open_voila(server)
            yield page
    context.close()
