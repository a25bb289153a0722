"""Tables of several systems on one data set: gathered, refused and drawn."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation.publish import COLUMNS, add_results, read_results
from semanticnn_core.viz import measured

COMMANDS = ["semanticnn train-base", "semanticnn train", "semanticnn evaluate"]


def sweep_of(system: str, accuracy: float, bers=BER_GRID, ratios=(1.0,)) -> pd.DataFrame:
    """A sweep in which the accuracy at rate number i is accuracy − i/100, ± 0.01 over three seeds."""
    return pd.DataFrame(
        {"system": system, "ber": ber, "slice_ratio": ratio, "window": "center", "share_sent": ratio, "seed": seed,
         "accuracy": accuracy - i / 100 + shift, "agreement": 0.5, "feature_mse": 1.0, "bytes": 384 * ratio}
        for ratio in ratios for i, ber in enumerate(bers) for seed, shift in enumerate((-0.01, 0, 0.01))
    )  # fmt: skip


def add(path: Path, table: pd.DataFrame, clean: float = 0.62, images: int = 1000) -> None:
    add_results(path, table, clean, images, 12288, COMMANDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table of two systems, `ours` measured at two slice ratios."""
    path = tmp_path / "results" / "toys.csv"
    add(path, sweep_of("ours", 0.6, ratios=(1.0, 0.5)))
    add(path, sweep_of("NA", 0.55))
    return path


def test_systems_gather_in_one_table(path):
    table = read_results(path)
    assert tuple(table.columns) == COLUMNS and set(table["images"]) == {1000}
    assert table["system"].unique().tolist() == [UNCOMPRESSED, "ours", "NA"]
    first = table.iloc[0]
    assert (first["ber"], first["accuracy"], first["bytes"]) == (0, 0.62, 12288)
    row = table[(table["system"] == "ours") & (table["ber"] == 1e-4) & (table["seed"] == 2)].iloc[0]
    assert (row["ber"], row["accuracy"]) == (1e-4, pytest.approx(0.61))
    for each in (first, row):
        assert each["command"] == "semanticnn train-base && semanticnn train && semanticnn evaluate"


def test_a_system_measured_again_replaces_its_rows_where_they_stood(path):
    before = read_results(path)
    add(path, sweep_of("ours", 0.4, (1e-7,)))
    after = read_results(path)
    assert after["system"].unique().tolist() == [UNCOMPRESSED, "ours", "NA"]
    assert after.loc[after["system"] == "ours", "ber"].tolist() == [1e-7] * 3
    for name in ("NA", UNCOMPRESSED):
        old, new = (each[each["system"] == name].reset_index(drop=True) for each in (before, after))
        pd.testing.assert_frame_equal(old, new)


@pytest.mark.parametrize(("clean", "images", "said"), [(0.7, 1000, "has 70.00% on 1000"), (0.62, 40, "62.00% on 40")])
def test_tables_of_other_networks_are_refused_and_stay(path, clean, images, said):
    text = path.read_text()
    with pytest.raises(ValueError, match=f"toys.csv compares codecs of a network with 62.00% accuracy on 1000.*{said}"):
        add(path, sweep_of("ours", 0.6), clean, images)
    assert path.read_text() == text and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("other.csv", "a,b\n1,2\n", "other.csv lacks the column 'system'; it has a, b"),
        ("other.csv", ",".join(COLUMNS) + "\n", "does not begin with the uncompressed network"),
        ("other.txt", "a", "must be a .csv file, got .*other.txt"),
    ],
)
def test_other_files_are_refused_and_stay(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        add(tmp_path / name, sweep_of("ours", 0.6))
    assert (tmp_path / name).read_text() == text


def test_means_over_the_grid_count_whole_codes_at_all_rates(path):
    add(path, sweep_of("partly", 0.5, BER_GRID[:3]))
    means = measured.grid_means(read_results(path))
    assert means["system"].tolist() == ["ours", "NA"] and means["bytes"].tolist() == [384, 384]
    assert means["accuracy"].tolist() == pytest.approx([0.58, 0.53])
    assert means["accuracy_std"].tolist() == pytest.approx([0.01, 0.01])
    assert means["lost"].tolist() == pytest.approx([0.04, 0.09])


def test_systems_are_compared_seed_by_seed(path):
    table = measured.paired(read_results(path), "ours", "NA")
    assert table["ber"].tolist() == sorted(BER_GRID)
    assert table["difference"].tolist() == pytest.approx([0.05] * 5)
    assert table["std"].tolist() == pytest.approx([0] * 5, abs=1e-12)


def test_tables_for_readers(path):
    table, reported = read_results(path), measured.load_reported("cifar100")
    shown = measured.measured_table(table)
    assert shown.columns.tolist() == ["ours, 384 B", "NA, 384 B", "difference"] and "62.00 %" in shown.index.name
    assert shown["difference"]["1 %"] == "+5.00 ± 0.00" and shown["difference"]["points lost"] == ""
    assert shown["ours, 384 B"]["1 %"] == "58.00 ± 1.00" and shown["ours, 384 B"]["points lost"] == "4.00"
    compared = measured.compared_table(table, reported)
    assert compared.loc["image", ["bytes, 8 bits a value", "bytes, 32-bit floats"]].tolist() == ["12,288", "49,152"]
    assert compared["points lost"].tolist()[:2] == ["4.00", "9.00"]


def test_figures(path):
    table, reported = read_results(path), measured.load_reported("cifar100")
    for again, curves in ((None, 2), (table[table["system"] != "NA"], 3)):
        figure = measured.draw_measured(table, reported, again)
        FigureCanvasAgg(figure).draw()
        left, right = figure.axes
        assert len(left.containers) == curves and len(right.patches) == 5


def test_absent_tables_are_named(tmp_path):
    for load in (measured.load_measured, measured.load_reported):
        with pytest.raises(FileNotFoundError, match="toys"):
            load("toys", tmp_path)
