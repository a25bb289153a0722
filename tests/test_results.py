"""The pages of results: what the tables give and nothing else, written by `semanticnn results`."""

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
import tyro

from semanticnn_core import cli
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.evaluation import report, tables
from semanticnn_core.evaluation.report import words

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "data" / "results"
TABLES = sorted(RESULTS.glob("*.csv"))
WRITTEN = [line for path in TABLES for row in pd.read_csv(path).get("command", ()) for line in str(row).split(" && ")]
"""Every command that published tables name."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of what the pages are made of, README.md beside it; weights stay where they are."""
    shutil.copytree(RESULTS, tmp_path / "data" / "results")
    for path in ROOT.glob("data/checkpoints/*/*"):
        if path.suffix != ".safetensors":
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path / "data"


def results(data: Path, *options: str) -> None:
    cli.main(["results", "--data-root", str(data), *options])


def refused(data: Path, capsys: pytest.CaptureFixture) -> str:
    """Run a command that must end in exit status 2 and write nothing; returns what it says."""
    before = {path: path.read_bytes() for path in data.parent.rglob("*.md")}
    with pytest.raises(SystemExit) as caught:
        results(data)
    assert caught.value.code == 2
    assert {path: path.read_bytes() for path in data.parent.rglob("*.md")} == before
    return capsys.readouterr().err


def page(data: Path) -> str:
    return (data / "results" / "README.md").read_text(encoding="utf-8")


def change(path: Path, edit) -> None:
    edit(pd.read_csv(path)).to_csv(path, index=False)


@pytest.mark.slow
def test_published_pages_are_what_the_tables_give(capsys):
    results(ROOT / "data", "--check")
    assert "as the tables give them" in capsys.readouterr().out


@pytest.mark.slow
def test_a_changed_table_is_noticed_and_written(data, capsys):
    results(data, "--check")
    front = (data.parent / "README.md").read_text(encoding="utf-8")
    change(
        data / "checkpoints" / DEFAULT_CHECKPOINT / "results.csv",
        lambda table: table.assign(
            accuracy=table["accuracy"].where(table["ber"] != 0.05, 0.5), accuracy_low=0.4, accuracy_high=0.6
        ),
    )
    with pytest.raises(SystemExit, match="results/README.md.* not what the tables give; .*semanticnn results"):
        results(data, "--check")
    assert "50.00%" not in page(data)
    results(data)
    assert "| 5.00% | 50.00% (40.00–60.00) |" in page(data)
    checkpoint = (data / "checkpoints" / DEFAULT_CHECKPOINT / "README.md").read_text(encoding="utf-8")
    assert "| 5.00% | 50.00% (40.00–60.00) |" in checkpoint
    after = (data.parent / "README.md").read_text(encoding="utf-8")
    assert "| 5% | 50.00% (40.00–60.00) | 48.4 |" in after
    outside = [report.BLOCK.sub("", text) for text in (front, after)]
    assert outside[0] == outside[1]
    results(data, "--check")


@pytest.mark.slow
def test_intervals_are_shown_and_further_columns_do_no_harm(data):
    for path in data.rglob("*.csv"):
        change(path, lambda table: table.assign(draws="independent"))
    results(data, "--check")
    path = data / "checkpoints" / DEFAULT_CHECKPOINT / "results.csv"
    change(path, lambda table: table.assign(accuracy_low=0.25, accuracy_high=0.99))
    results(data)
    assert re.search(r"\| 0\.01% \| 97\.\d\d% \(25\.00–99\.00\) \| 97\.\d\d% \| 384 \|", page(data))
    assert re.search(r"296 B: 96\.\d% \(25\.0–99\.0\)", page(data))
    front = (data.parent / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\| 0\.01% \| 97\.\d\d% \(25\.00–99\.00\) \| 1\.\d \|", front)


@pytest.mark.slow
def test_other_systems_of_the_default_checkpoint_stay_out_of_the_front_table(data):
    path = data / "checkpoints" / DEFAULT_CHECKPOINT / "results.csv"
    change(path, lambda table: pd.concat([table, table.assign(system="thumbnail", accuracy=0.1)]))
    front = (data.parent / "README.md").read_text(encoding="utf-8")
    results(data)
    assert (data.parent / "README.md").read_text(encoding="utf-8") == front


@pytest.mark.slow
def test_pages_of_others_are_not_replaced(data, capsys):
    (data / "results" / "README.md").write_text("mine")
    assert "is not replaced; move it elsewhere" in refused(data, capsys)
    (data / "results" / "README.md").unlink()
    (data.parent / "README.md").write_text("mine")
    results(data)
    assert (data.parent / "README.md").read_text() == "mine" and page(data).startswith(report.MADE)


@pytest.mark.slow
def test_missing_tables_and_columns_are_named(data, capsys):
    change(data / "results" / "latency.csv", lambda table: table.drop(columns="p95"))
    assert "latency.csv lacks the column 'p95'" in refused(data, capsys)
    (data / "results" / "latency.csv").unlink()
    assert "latency.csv is missing" in refused(data, capsys)
    (data / "results" / "README.tmpl").unlink()
    assert "README.tmpl is missing: the text around the tables" in refused(data, capsys)


def test_the_text_around_the_tables_holds_no_measured_number():
    text = (RESULTS / report.TEMPLATE).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`]*`|\$\w+", "", text, flags=re.DOTALL)
    settings = {"0.01", "0.1"}  # the range of error rates
    assert set(re.findall(r"\d+\.\d+", text)) <= settings and not re.search(r"±\s*\d", text)


def test_the_page_shows_the_table_of_cifar100_and_every_command():
    text = page(ROOT / "data")
    assert report.markdown(tables.measured_table(tables.load_table("cifar100"))) in text
    assert WRITTEN and all(command == "nan" or command in text for command in WRITTEN)


@pytest.mark.parametrize("command", sorted({each for each in WRITTEN if each.startswith("python ")}))
@pytest.mark.slow
def test_commands_of_benchmarks_parse(command, monkeypatch):
    pytest.importorskip("playwright")
    _, script, *options = shlex.split(command)
    parsed, parse = [], tyro.cli
    monkeypatch.syspath_prepend(str(ROOT / Path(script).parent))
    monkeypatch.setattr(tyro, "cli", lambda kind: lambda: parsed.append(parse(kind, args=options)))
    runpy.run_path(str(ROOT / script), run_name="__main__")
    assert len(parsed) == 1


def test_benchmarks_write_what_the_page_needs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    monkeypatch.setattr("sys.argv", ["/somewhere/noise.py", "--out", "a folder"])
    from published import publish

    table = pd.DataFrame([{"mb_per_second": 1.5, "threads": 2}])
    publish(tmp_path / "packing.csv", table)
    written = pd.read_csv(tmp_path / "packing.csv")
    assert written["command"].tolist() == ["python tests/benchmarks/noise.py --out 'a folder'"]
    assert set(words.COLUMNS["packing"].split()) <= set(written)
    with pytest.raises(ValueError, match="noise.csv needs the column 'network'; the table has mb_per_second"):
        publish(tmp_path / "noise.csv", table)
    assert not (tmp_path / "noise.csv").exists()
