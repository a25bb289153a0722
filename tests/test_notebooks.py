"""The notebook runner on small notebooks, then every notebook of the repository, executed once."""

import re
import shutil

import nbformat
import pytest

from semanticnn_core.runner import pages
from semanticnn_core.runner.notebooks import (
    NOTEBOOKS,
    check_pairs,
    find_sources,
    read_source,
    regenerate,
    run_notebooks,
)

GOOD = r"""# %% [markdown]
# # A symbol survives
#
# It crosses with rate $p$ and costs `$5`, see [the next](02_bad.ipynb).
#
# $$\begin{aligned} D &= \sum_{i=1}^K \frac{a_i}{b_i} \\ &= \mathbb{E}[x \mid s] \end{aligned}$$

# %% tags=["parameters"]
profile = "full"
interactive = True
ber = 0.01
ratios = (1, 2)
name = "codec"

# %%
import os
from pathlib import Path

from IPython.display import Image, Math, display
from tqdm import tqdm

for _ in tqdm(range(3)):
    pass
print(profile, interactive, ber, ratios, name, Path("notebooks/source").is_dir())
display(Math("x^2"))
Image(data=bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
))
"""
BAD = """# %% [markdown]
# # It fails

# %% tags=["parameters"]
ber = 0.01

# %%
print("before")

# %%
raise RuntimeError("the channel is gone")

# %%
print("after")
"""
REMOTE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)\s*=\s*[\"']?(?:https?:)?//", re.I)
SOURCES = sorted((NOTEBOOKS / "source").glob("*.py"))
needs_sources = pytest.mark.skipif(not SOURCES, reason="no notebooks yet")


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source/01_good.py").write_text(GOOD)
    (folder / "source/02_bad.py").write_text(BAD)
    return folder


@pytest.fixture(scope="module")
def toy_runs(toys):
    return run_notebooks(parameters={"ber": "0.02"}, out_dir=toys.parent / "runs", notebooks_dir=toys)


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return [output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]


def test_parameters_reach_the_notebook_and_progress_bars_do_not_show(toy_runs):
    assert printed(toy_runs[0].notebook) == ["fast False 0.02 (1, 2) codec True\n"]
    assert toy_runs[0].parameters == {"interactive": False, "profile": "fast", "ber": 0.02}


def test_a_failing_notebook_is_named_with_its_cell_and_keeps_what_it_printed(toy_runs):
    assert [run.error is None for run in toy_runs] == [True, False]
    where = 'in cell [4] `raise RuntimeError("the channel is gone")`'
    assert toy_runs[1].error == f"{where}: RuntimeError: the channel is gone"
    assert printed(toy_runs[1].notebook) == ["before\n"]


def test_the_page_is_complete_offline(toy_runs):
    page = toy_runs[0].page.read_text()
    assert not REMOTE.search(page) and "<script" not in page
    assert page.count("<math") == 3  # inline, display, and the one among the outputs
    assert "$5" in page and r"\begin" not in page
    assert '<a href="02_bad.html">' in page
    assert 'alt="A symbol survives"' in page


def test_the_index_lists_every_run(toy_runs):
    index = (toy_runs[0].page.parent / "index.html").read_text()
    assert not REMOTE.search(index)
    for expected in ("A symbol survives", "It fails", "the channel is gone", "01_good.html", "ber = 0.02", "<img"):
        assert expected in index
    assert not list(toy_runs[0].page.parent.glob(".*"))


@pytest.mark.parametrize(
    ("names", "parameters", "message"),
    [
        (["07"], {}, "unknown notebook '07'; there are 01_good, 02_bad"),
        (["01"], {"bre": 1}, "01_good has no parameter 'bre'; it has profile, interactive, ber, ratios, name"),
        ([], {"ratios": [1]}, "02_bad has no parameter 'ratios'; it has ber"),
        (["01"], {"ber": "high"}, "ber must be of type float, got 'high'"),
        (["01"], {"ratios": "3"}, "ratios must be of type tuple, got 3"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(toys, tmp_path, names, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        run_notebooks(names, parameters, out_dir=tmp_path / "out", notebooks_dir=toys)
    assert not (tmp_path / "out").exists()


def test_an_unknown_profile_is_refused(toys):
    with pytest.raises(ValueError, match="profile must be one of fast, full, got 'quick'"):
        run_notebooks(profile="quick", notebooks_dir=toys)


def test_names_are_numbers_or_stems(toys):
    by_number, by_stem = find_sources(["02", "01"], toys), find_sources(["02_bad", "notebooks/01_good.ipynb"], toys)
    assert [path.stem for path in by_number] == [path.stem for path in by_stem] == ["02_bad", "01_good"]


def test_regenerated_notebooks_pair_with_their_source_and_repeat_exactly(toys, tmp_path):
    folder = shutil.copytree(toys, tmp_path / "notebooks")
    (folder / "source/02_bad.py").unlink()
    assert check_pairs(folder) == ["01_good.ipynb is missing"]
    first = [path.read_bytes() for path in regenerate(notebooks_dir=folder)]
    assert first == [path.read_bytes() for path in regenerate(notebooks_dir=folder)]
    assert b"interactive = True" in first[0] and b"papermill" not in first[0]
    assert check_pairs(folder) == []


def test_pairs_that_differ_are_named(toys, tmp_path):
    folder = shutil.copytree(toys, tmp_path / "notebooks")
    for source in find_sources((), folder):
        nbformat.write(read_source(source), folder / f"{source.stem}.ipynb")
    (folder / "source/02_bad.py").rename(folder / "source/03_new.py")
    (folder / "source/01_good.py").write_text(GOOD.replace("0.01", "0.02"))
    assert check_pairs(folder) == [
        "02_bad.ipynb has no source",
        "01_good.ipynb differs from its source",
        "01_good.ipynb has no picture",
        "03_new.ipynb is missing",
    ]


def test_regenerating_a_failing_notebook_is_an_error(toys):
    with pytest.raises(RuntimeError, match=r"02_bad in cell \[3\].*the channel is gone"):
        regenerate(["02"], toys)
    assert not (toys / "02_bad.ipynb").exists()


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"\begin{aligned} a &= b \end{aligned}", "<mtable"),
        (r"\operatorname{BER}", "normal"),
        (r"a < b", "&#x0003C;"),
    ],
)
def test_formulas_become_mathml(tex, expected):
    assert expected in pages.mathml(tex)


def test_a_formula_that_cannot_be_shown_is_quoted():
    with pytest.raises(ValueError, match=r"cannot show the formula '\\\\foo\{a\}': unknown command \\foo"):
        pages.mathml(r"\foo{a}")
    assert pages.render_markdown(r"$\foo{a}$") == "<p><code>\\foo{a}</code></p>\n"


@pytest.mark.notebook
@pytest.mark.parametrize("name", [source.stem for source in SOURCES])
def test_notebook_executes_in_the_fast_profile(name, tmp_path):
    (run,) = run_notebooks([name], profile="fast", out_dir=tmp_path)
    assert run.error is None
    assert run.picture
    assert not REMOTE.search(run.page.read_text(encoding="utf-8"))


@needs_sources
def test_committed_notebooks_pair_with_their_sources():
    assert check_pairs() == []


@needs_sources
def test_every_formula_of_the_notebooks_can_be_shown(monkeypatch):
    monkeypatch.setattr(pages, "_mathml_or_tex", pages.mathml)
    for source in SOURCES:
        for cell in read_source(source).cells:
            if cell.cell_type == "markdown":
                pages.render_markdown(cell.source)
