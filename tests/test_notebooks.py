"""The notebook runner on small notebooks, then every notebook of the repository, executed once."""

import os
import re
import shutil
import sys
import types

import nbformat
import pytest

from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.files import CHECKOUT
from semanticnn_core.panels.kernel import environment
from semanticnn_core.panels.voila.__main__ import main as serve_with_voila
from semanticnn_core.runner import pages
from semanticnn_core.runner.committed import check_pairs, regenerate
from semanticnn_core.runner.notebooks import run_notebooks
from semanticnn_core.runner.parameters import chosen_parameters, default_parameters
from semanticnn_core.runner.sources import NOTEBOOKS, find_sources, read_source

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
DRAWN = """# %% tags=["solution"]
import builtins
import locale

import matplotlib.pyplot as plt

plt.subplots(figsize=(1, 1))
print(getattr(builtins, "seen", "nothing"), locale.getpreferredencoding(False).lower(), plt.rcParams["lines.linewidth"])
"""
CHECKED = """# %% tags=["parameters"]
seed = 0
profile = "fast"
out_dir = "runs"
checkpoint = ""
dataset = "scene_digits"
ber = 0.05
slice_ratio = 1.0
method = "saliency"
window = "center"
n_centers = 8
picture = ""

# %%
print(seed)
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
    return write_sources(tmp_path_factory.mktemp("repository") / "notebooks", **{"01_good": GOOD, "02_bad": BAD})


@pytest.fixture(scope="module")
def toy_runs(toys):
    return run_notebooks(parameters={"ber": "0.02"}, out_dir=toys.parent / "runs", notebooks_dir=toys, jobs=2)


def write_sources(folder, **sources):
    """Write a folder of notebooks with these sources."""
    (folder / "source").mkdir(parents=True)
    for name, text in sources.items():
        (folder / "source" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return [output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]


@pytest.mark.slow
def test_parameters_reach_the_notebook_and_progress_bars_do_not_show(toy_runs):
    assert printed(toy_runs[0].notebook) == ["fast False 0.02 (1, 2) codec True\n"]
    assert toy_runs[0].parameters == {"interactive": False, "profile": "fast", "ber": 0.02}


@pytest.mark.slow
def test_a_failing_notebook_is_named_with_its_cell_and_keeps_what_it_printed(toy_runs):
    assert [run.error is None for run in toy_runs] == [True, False]
    where = 'in cell [4] `raise RuntimeError("the channel is gone")`'
    assert toy_runs[1].error == f"{where}: RuntimeError: the channel is gone"
    assert printed(toy_runs[1].notebook) == ["before\n"]


@pytest.mark.slow
def test_the_page_is_complete_offline(toy_runs):
    page = toy_runs[0].page.read_text(encoding="utf-8")
    assert not REMOTE.search(page) and "<script" not in page
    assert page.count("<math") == 3  # inline, display, and the one among the outputs
    assert "$5" in page and r"\begin" not in page
    assert '<a href="02_bad.html">' in page
    assert 'alt="A symbol survives"' in page


@pytest.mark.slow
def test_the_index_lists_every_run(toy_runs):
    index = (toy_runs[0].page.parent / "index.html").read_text(encoding="utf-8")
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


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ber", "0.7", "ber must be in [0, 0.5], got 0.7"),
        ("slice_ratio", "0", "slice_ratio must be in (0, 1], got 0"),
        ("seed", "-1", "seed must be in [0, "),
        ("seed", "1.5", "seed must be of type int, got 1.5"),
        ("profile", "quick", "profile must be one of 'fast', 'full', got 'quick'"),
        ("method", "guess", "method must be one of integrated_gradients, "),
        ("window", "left", "window must be one of 'center', 'importance', got 'left'"),
        ("n_centers", "6", "n_centers must be one of 2, 4, 8, 16, 32, 64, got 6"),
        ("checkpoint", "nowhere/ck", "no checkpoint 'nowhere/ck'"),
        ("dataset", "nowhere", "no data set 'nowhere'"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_runs(tmp_path, name, value, message):
    folder = write_sources(tmp_path / "notebooks", **{"01_good": GOOD.replace("ber = 0.01", ""), "02_checked": CHECKED})
    with pytest.raises(ValueError, match=re.escape(message)):
        run_notebooks(["02"], {name: value}, out_dir=tmp_path / "out", notebooks_dir=folder)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("checkpoint", "", ""),
        ("checkpoint", DEFAULT_CHECKPOINT, DEFAULT_CHECKPOINT),
        ("checkpoint", "mine/ck", "{here}/mine/ck"),
        ("checkpoint", "~/mine/ck", "{here}/mine/ck"),
        ("checkpoint", "shelved", "{here}/data/checkpoints/shelved"),
        ("dataset", "scene_digits", "scene_digits"),
        ("dataset", "mine/set.npz", "{here}/mine/set.npz"),
        ("dataset", "~/mine", "{here}/mine"),
        ("dataset", "kept", "{here}/data/kept.npz"),
        ("dataset", "results", "results"),  # a folder of the checkout's own data
        ("out_dir", "new", "{here}/new"),
        ("out_dir", "~/new", "{here}/new"),
        ("picture", "mine/set.npz", "{here}/mine/set.npz"),
        ("picture", "nowhere.png", "nowhere.png"),
        ("window", "center", "center"),
    ],
)
def test_paths_count_from_where_the_command_is_given_and_names_stay(tmp_path, monkeypatch, name, value, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in ("mine/ck/config.json", "mine/set.npz", "data/checkpoints/shelved/config.json", "data/kept.npz"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    for place in ("scene_digits", "center"):
        (tmp_path / place).mkdir()
    source = write_sources(tmp_path / "notebooks", **{"01_checked": CHECKED}) / "source/01_checked.py"
    known = default_parameters(read_source(source))
    chosen = chosen_parameters("01_checked", known, {}, {name: value}, CHECKOUT / "data")
    assert chosen == {name: expected.format(here=tmp_path)}


def test_an_unknown_profile_is_refused(toys):
    with pytest.raises(ValueError, match="profile must be one of fast, full, got 'quick'"):
        run_notebooks(profile="quick", notebooks_dir=toys)


def test_no_jobs_are_refused(toys):
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        run_notebooks(jobs=0, notebooks_dir=toys)


def test_names_are_numbers_or_stems(toys):
    by_number, by_stem = find_sources(["02", "01"], toys), find_sources(["02_bad", "notebooks/01_good.ipynb"], toys)
    assert [path.stem for path in by_number] == [path.stem for path in by_stem] == ["02_bad", "01_good"]


@pytest.mark.slow
def test_regenerated_notebooks_pair_with_their_source_and_repeat_exactly(toys, tmp_path):
    folder = shutil.copytree(toys, tmp_path / "notebooks")
    (folder / "source/02_bad.py").unlink()
    assert check_pairs(folder) == ["01_good.ipynb is missing"]
    with (folder / "source/01_good.py").open("a", encoding="utf-8") as file:
        file.write("\n# %%\nimport pandas\n\npandas.DataFrame([1]).style  # named at random\n")
    first = [path.read_bytes() for path in regenerate(notebooks_dir=folder)]
    assert first == [path.read_bytes() for path in regenerate(notebooks_dir=folder)]
    assert b"interactive = True" in first[0] and b"papermill" not in first[0]
    assert check_pairs(folder) == []


def test_pairs_that_differ_are_named(toys, tmp_path):
    folder = shutil.copytree(toys, tmp_path / "notebooks")
    for source in find_sources((), folder):
        nbformat.write(read_source(source), folder / f"{source.stem}.ipynb")
    (folder / "source/02_bad.py").rename(folder / "source/03_new.py")
    (folder / "source/01_good.py").write_text(GOOD.replace("0.01", "0.02"), encoding="utf-8")
    assert check_pairs(folder) == [
        "02_bad.ipynb has no source",
        "01_good.ipynb differs from its source",
        "01_good.ipynb has no picture",
        "03_new.ipynb is missing",
    ]


@pytest.mark.slow
def test_regenerating_a_failing_notebook_is_an_error_and_its_start_is_said(toys, capsys):
    with pytest.raises(RuntimeError, match=r"02_bad in cell \[3\].*the channel is gone"):
        regenerate(["02"], toys)
    assert not (toys / "02_bad.ipynb").exists()
    assert capsys.readouterr().err == "[1/1] 02_bad …\n"


@pytest.mark.slow
def test_the_callers_surroundings_change_nothing(tmp_path, monkeypatch, capsys):
    seen, startup = "import builtins; builtins.seen = 'startup'", tmp_path / "ipython/profile_default/startup/00.py"
    startup.parent.mkdir(parents=True)
    files = {
        startup: seen,
        startup.parents[1] / "ipython_kernel_config.py": "c.InlineBackend.figure_formats = {'svg'}",
        tmp_path / "python.py": seen,
        tmp_path / "ipython/matplotlibrc": "lines.linewidth: 9",
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    surroundings = {
        "MPLBACKEND": "agg",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONSTARTUP": str(tmp_path / "python.py"),
        "MATPLOTLIBRC": str(tmp_path / "ipython/matplotlibrc"),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONWARNINGS": "error",
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    folder = write_sources(tmp_path / "notebooks", **{"01_drawn": DRAWN})
    (run,) = run_notebooks(out_dir=tmp_path / "out", notebooks_dir=folder)
    assert run.error is None and run.picture
    assert printed(run.notebook) == ["nothing utf-8 1.5\n"]
    assert re.fullmatch(r"\[1/1\] 01_drawn …\n\[1/1\] 01_drawn  [\d.]+ s\n.*index.html\n", capsys.readouterr().err)


def test_voila_serves_kernels_with_the_same_surroundings(monkeypatch):
    served = {}
    app = types.ModuleType("voila.app")
    app.Voila = types.SimpleNamespace(
        launch_instance=lambda _: served.update(os.environ, listed=str(os.listdir(os.environ["IPYTHONDIR"])))
    )
    monkeypatch.setitem(sys.modules, "voila", types.ModuleType("voila"))
    monkeypatch.setitem(sys.modules, "voila.app", app)
    for name in (*environment(), "IPYTHONDIR", "JUPYTER_PATH"):
        monkeypatch.setenv(name, "the user's")
    serve_with_voila(["00.ipynb"])
    assert environment().items() <= served.items() and served["listed"] == "[]"


@pytest.mark.slow
def test_a_notebook_that_lost_its_pictures_has_failed(tmp_path):
    folder = write_sources(tmp_path / "notebooks", **{"01_good": GOOD})
    with_picture, (source,) = read_source(folder / "source/01_good.py"), find_sources((), folder)
    with_picture.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"image/png": "AAAA"})]
    nbformat.write(with_picture, folder / "01_good.ipynb")
    source.write_text(GOOD[: GOOD.index("Image(")], encoding="utf-8")
    before = (folder / "01_good.ipynb").read_bytes()
    with pytest.raises(RuntimeError, match="01_good without a single picture, although 01_good.ipynb holds some"):
        regenerate(notebooks_dir=folder)
    assert (folder / "01_good.ipynb").read_bytes() == before


def test_hidden_files_are_no_notebooks(toys, tmp_path):
    folder = shutil.copytree(toys, tmp_path / "notebooks", ignore=shutil.ignore_patterns("*.ipynb"))
    for hidden in ("source/._01_good.py", "._01_good.ipynb"):  # as macOS leaves them
        (folder / hidden).write_bytes(b"\0\5\x16\7Mac OS X\xff")
    assert [path.stem for path in find_sources((), folder)] == ["01_good", "02_bad"]
    assert check_pairs(folder) == ["01_good.ipynb is missing", "02_bad.ipynb is missing"]


@pytest.mark.parametrize("damage", [b"# %%\nx = '\xff'\n", b"# %% tags=['parameters']\nber = = 1\n"])
def test_a_source_that_cannot_be_read_is_named(tmp_path, damage):
    (tmp_path / "01_good.py").write_bytes(damage.replace(b"'parameters'", b'"parameters"'))
    with pytest.raises(ValueError, match="01_good.py cannot be read: "):
        read_source(tmp_path / "01_good.py")


@pytest.mark.parametrize("name", ["index.html", "01_good.html", "01_good.ipynb"])
def test_files_of_the_user_are_not_replaced(toys, tmp_path, name):
    (tmp_path / name).write_text("<title>my thesis</title>", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name} was not written by semanticnn run and is not replaced"):
        run_notebooks(["01"], out_dir=tmp_path, notebooks_dir=toys)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_what_the_runner_wrote_may_be_replaced(toy_runs):
    index = toy_runs[0].page.with_name("index.html")
    assert all(pages.is_ours(path) for run in toy_runs for path in (index, run.page, run.notebook))


def test_an_unusable_place_is_refused_before_anything_runs(toys, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is no folder, so semanticnn run cannot write to"):
        run_notebooks(["01"], out_dir=tmp_path / "file", notebooks_dir=toys)


@pytest.mark.slow
def test_solutions_are_folded_in_notebook_and_page(tmp_path):
    folder = write_sources(tmp_path / "notebooks", **{"01_drawn": DRAWN + "\n# %%\n'shown'\n"})
    notebook = read_source(folder / "source/01_drawn.py")
    folded, shown = notebook.cells
    assert folded.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True} and not shown.metadata
    page = pages.render_page(notebook, "It draws", folder)
    before, _, rest = page.partition("<details><summary>Solution</summary>")
    inside, _, after = rest.partition("</details>")
    assert "subplots" in inside and "subplots" not in before + after and "shown" in after


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
@pytest.mark.slow
def test_every_formula_of_the_notebooks_can_be_shown(monkeypatch):
    monkeypatch.setattr(pages, "_mathml_or_tex", pages.mathml)
    for source in SOURCES:
        for cell in read_source(source).cells:
            if cell.cell_type == "markdown":
                pages.render_markdown(cell.source)
