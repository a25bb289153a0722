"""Published tables: gathered, refused, compared in pairs, drawn, and said truly on the page of results."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from semanticnn_core.config import BER_GRID, UNCOMPRESSED
from semanticnn_core.evaluation import tables
from semanticnn_core.evaluation.publish import add_results, write_results
from semanticnn_core.evaluation.tables import COLUMNS, load_table, read_table, whole_codes
from semanticnn_core.viz import results

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
    table = read_table(path)
    assert tuple(table.columns) == COLUMNS[""] and set(table["images"]) == {1000}
    assert table["system"].unique().tolist() == [UNCOMPRESSED, "ours", "NA"]
    first = table.iloc[0]
    assert (first["ber"], first["accuracy"], first["bytes"]) == (0, 0.62, 12288)
    row = table[(table["system"] == "ours") & (table["ber"] == 1e-4) & (table["seed"] == 2)].iloc[0]
    assert (row["ber"], row["accuracy"]) == (1e-4, pytest.approx(0.61))
    for each in (first, row):
        assert each["command"] == "semanticnn train-base && semanticnn train && semanticnn evaluate"


def test_a_system_measured_again_replaces_its_rows_where_they_stood(path):
    before = read_table(path)
    add(path, sweep_of("ours", 0.4, (1e-7,)))
    after = read_table(path)
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
        ("other.csv", ",".join(COLUMNS[""]) + "\n", "does not begin with the uncompressed network"),
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
    means = tables.grid_means(read_table(path))
    assert means["system"].tolist() == ["ours", "NA"] and means["bytes"].tolist() == [384, 384]
    assert means["accuracy"].tolist() == pytest.approx([0.58, 0.53])
    assert means["accuracy_std"].tolist() == pytest.approx([0.01, 0.01])
    assert means["lost"].tolist() == pytest.approx([0.04, 0.09])


def test_systems_are_compared_seed_by_seed(path):
    table = tables.paired(whole_codes(read_table(path)), "ours", "NA", "seed")
    assert table["ber"].tolist() == sorted(BER_GRID)
    assert table["difference"].tolist() == pytest.approx([0.05] * 5)
    assert table["std"].tolist() == pytest.approx([0] * 5, abs=1e-12)


def test_tables_for_readers(path):
    table, reported = read_table(path), load_table("cifar100", "reported")
    shown = tables.measured_table(table)
    assert shown.columns.tolist() == ["ours, 384 B", "NA, 384 B", "difference"] and "62.00 %" in shown.index.name
    assert shown["difference"]["1 %"] == "+5.00 ± 0.00" and shown["difference"]["points lost"] == ""
    assert shown["ours, 384 B"]["1 %"] == "58.00 ± 1.00" and shown["ours, 384 B"]["points lost"] == "4.00"
    compared = tables.compared_table(table, reported)
    assert compared.loc["image", ["bytes, 8 bits a value", "bytes, 32-bit floats"]].tolist() == ["12,288", "49,152"]
    assert compared["points lost"].tolist()[:2] == ["4.00", "9.00"]


@pytest.mark.slow
def test_figures(path):
    table, reported = read_table(path), load_table("cifar100", "reported")
    for again, curves in ((None, 2), (table[table["system"] != "NA"], 3)):
        figure = results.draw_measured(table, reported, again)
        FigureCanvasAgg(figure).draw()
        left, right = figure.axes
        assert len(left.containers) == curves and len(right.patches) == 5


@pytest.mark.parametrize("kind", COLUMNS)
def test_tables_are_read_or_absent_or_refused(kind, tmp_path):
    assert load_table("toys", kind, tmp_path) is None
    path, columns = tables.table_path("toys", kind, tmp_path), COLUMNS[kind]
    assert path.name == (f"toys-{kind}.csv" if kind else "toys.csv")
    path.parent.mkdir()
    pd.DataFrame([[UNCOMPRESSED] * len(columns)], columns=columns).to_csv(path, index=False)
    assert list(load_table("toys", kind, tmp_path).columns) == list(columns)
    pd.DataFrame([[1]], columns=[columns[0]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=f"toys.*csv lacks the column '{columns[1]}'"):
        load_table("toys", kind, tmp_path)


def test_the_page_of_results_tells_what_was_measured_on_cifar100():
    text = (Path(__file__).parents[1] / "data" / "results" / "README.md").read_text(encoding="utf-8")
    shown = tables.measured_table(load_table("cifar100"))
    for cells in [(shown.index.name, *shown.columns), *shown.itertuples(name=None)]:
        assert "| " + " | ".join(cells) + " |" in text


@pytest.fixture(scope="module")
def schemes() -> pd.DataFrame:
    """Made up: ours is 2 points better at 384 B in every pair, plus a common effect of the training seed."""
    rows = []
    for scheme, size, gain in (
        ("ours", 384, 0.02),
        ("ours", 192, 0.0),
        ("ours, 4 centers", 192, 0.01),
        ("released", 384, 0.0),
    ):
        for train_seed in range(3):
            for ber in (1e-4, 0.01, 0.05):
                for seed in range(2):
                    accuracy = 0.8 + gain - ber + 0.03 * train_seed + 0.001 * seed
                    rows.append((scheme, size, train_seed, ber, seed, accuracy))
    return pd.DataFrame(rows, columns=COLUMNS["schemes"])


def painted(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_paired_differences_remove_the_training_seed(schemes):
    table = tables.schemes_paired(schemes, ("ours", 384), ("released", 384))
    assert table["difference"].tolist() == pytest.approx([0.02] * 3)
    assert table["standard_error"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    assert table["pairs"].tolist() == [3] * 3
    half = tables.schemes_paired(schemes, ("ours", 192), ("released", 384))
    assert half["difference"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    with pytest.raises(ValueError, match="'ours at 48 bytes'.*released at 384 bytes"):
        tables.schemes_paired(schemes, ("ours", 48), ("released", 384))


def test_unpaired_trainings_are_left_out(schemes):
    fewer = schemes[~((schemes["scheme"] == "released") & (schemes["train_seed"] > 0))]
    table = tables.schemes_paired(fewer, ("ours", 384), ("released", 384))
    assert table["pairs"].tolist() == [1] * 3 and table["standard_error"].isna().all()


def test_scheme_figures_and_tables(schemes):
    assert painted(results.draw_schemes(schemes)).std() > 1
    text = tables.difference_table(tables.against_released(schemes)["ours"])
    assert text.index.tolist() == ["0.01 %", "1 %", "5 %"]
    assert text.iloc[0, 0] == "+2.00 ± 0.00" and set(text["verdict"]) == {"better"}


def test_few_pairs_are_sure_of_little():
    rows = [(0.02, 0.01, 10), (0.04, 0.01, 3), (0.05, 0.01, 3), (-0.05, 0.01, 3), (0.5, float("nan"), 1)]
    differences = pd.DataFrame(rows, columns=["difference", "standard_error", "pairs"]).assign(ber=0.01)
    verdicts = tables.difference_table(differences)["verdict"].tolist()
    assert verdicts == ["open", "open", "better", "worse", "one pair"]


def test_schemes_are_compared_at_the_released_one_s_budget(schemes, tmp_path):
    path = tables.table_path("toys", "schemes", tmp_path)
    path.parent.mkdir()
    schemes.to_csv(path, index=False)
    read = load_table("toys", "schemes", tmp_path)
    pd.testing.assert_frame_equal(read, schemes)
    assert tables.budget(read) == 384 and list(tables.against_released(read)) == ["ours"]


def test_weights_are_compared_with_training_without_the_term():
    rows = [
        (gamma, seed, 1.0, "center", 384, 0.01, 0, 0.8 + gamma + seed / 10) for gamma in (0, 0.1) for seed in (0, 1)
    ]
    rows.append((0.1, 0, 0.5, "center", 150, 0.01, 0, 0.0))
    table = tables.gamma_table(pd.DataFrame(rows, columns=COLUMNS["xai"]))
    assert table.index.tolist() == [("γ = 0.1", "1 %")] and table.iloc[0, 0].startswith("+10.00")


def test_a_system_measured_again_leaves_the_others_of_its_checkpoint(tmp_path):
    write_results(tmp_path, sweep_of("one", 0.6))
    write_results(tmp_path, sweep_of("two", 0.5), keep={"one"})
    write_results(tmp_path, sweep_of("two", 0.4), keep={"one"})
    table = pd.read_csv(tmp_path / "results.csv")
    assert table["system"].unique().tolist() == ["one", "two"] and len(table) == 2 * 5 * 3
    assert table.loc[table["system"] == "two", "accuracy"].max() == pytest.approx(0.41)
    write_results(tmp_path, sweep_of("two", 0.4))
    assert set(pd.read_csv(tmp_path / "results.csv")["system"]) == {"two"}


@pytest.fixture(scope="module")
def levers() -> pd.DataFrame:
    """Made up: error-free codecs answer right in bytes/1000 cases; a wrong estimate always costs 1 point."""
    rows = []
    for variant, size, trainings in (
        ("ours", 384, 3), ("192 B", 192, 1), ("hard correction", 384, 3), ("two centers", 384, 1),
        ("eight centers", 384, 1), ("error-free, 384 B", 384, 1), ("error-free, 128 B", 128, 1),
    ):  # fmt: skip
        for train_seed in range(trainings):
            for ber, estimate in ((1e-9, 1e-9), (0.05, 0.05), (0.05, 1e-3), (0.11, 0.11)):
                accuracy = (
                    size / 1000 - ber - (0.01 if estimate != ber else 0) + 0.02 * train_seed * (variant == "ours")
                )
                rows += [(variant, train_seed, size, ber, estimate, seed, accuracy) for seed in range(2)]
    return pd.DataFrame(rows, columns=COLUMNS["levers"])


def test_the_limit_line_is_the_capacity_s_share_of_the_bytes(levers):
    limit = tables.limit_line(levers)["limit"]
    assert limit[1e-9] == pytest.approx(0.384, abs=1e-4)
    assert limit[0.11] == pytest.approx(0.192, abs=1e-4)  # a bit that flips with 11 % has half a bit of entropy
    assert limit[0.05] == pytest.approx(0.384 * (1 - 0.286397), abs=1e-4)


def test_the_limit_line_ends_with_the_smallest_codec_and_compares_the_same_trainings(levers):
    line = tables.limit_line(levers[levers["bytes"] != 128].replace({"variant": {"192 B": "error-free, 192 B"}}))
    assert line["limit"].notna().tolist() == [True, True, True]
    line = tables.limit_line(levers[levers["bytes"] == 384])
    assert line["limit"].isna().tolist() == [True, True, True]
    assert tables.limit_line(levers)["ours"].tolist() == pytest.approx(
        [0.384, 0.334, 0.274]
    )  # of training seed 0 alone


def test_knowing_the_rate_is_paired_by_training(levers):
    pairs = tables.known_and_wrong(levers)
    assert pairs["ber"].tolist() == [0.05] and pairs["pairs"].tolist() == [3]
    assert pairs["difference"].tolist() == pytest.approx([0.01])
    assert pairs["std"].tolist() == pytest.approx([0], abs=1e-9)


def test_levers_are_read_with_the_rate_known(levers):
    shown = tables.levers_table(levers)
    assert shown.loc["ours", ["bytes", "trainings", "5 %"]].tolist() == ["384", "3", "35.40 ± 2.00"]
    assert shown.loc["hard correction", "at 5 %, less ours"] == "-2.00 ± 1.15"
    assert shown.loc["192 B", "at 5 %, less ours"] == "-19.20"  # against ours of the same training seed


@pytest.mark.slow
def test_figures_of_levers(levers):
    limit = results.draw_limit(levers).axes[0]
    assert len(limit.containers) == 2
    assert limit.lines[-1].get_ydata()[-1] == pytest.approx(19.2, abs=0.01)
    special = levers.replace({"variant": {"two centers": "trained at 5 %"}})
    specialists = results.draw_specialists(special).axes[0]
    names = [each.get_label() for each in specialists.containers]
    assert names == ["trained at 0.1–10 %", "trained at 5 %"]
    assert specialists.containers[0][0].get_ydata()[0] == pytest.approx(38.4)  # of the one training that both have
    for axis in (limit, specialists):
        painted(axis.figure)
