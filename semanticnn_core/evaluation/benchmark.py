"""Every compared system on one protocol: same network, images, bytes, channel, steps; a tidy table that grows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from semanticnn_core.channels import INDEPENDENT, Believed, BitErrors, Bursts, Link
from semanticnn_core.config import BER_GRID
from semanticnn_core.datasets.base import ImageDataset, Split
from semanticnn_core.evaluation.costs import costs
from semanticnn_core.evaluation.sweep import sweep
from semanticnn_core.files import alone, replacing
from semanticnn_core.systems.base import OffloadSystem
from semanticnn_core.systems.compared import Compared
from semanticnn_core.systems.learned import Budget
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training.loop import SILENT, Run, placed, training_device

RATES = (*BER_GRID, 0.1)
"""Bit error rates of the benchmark: the grid, and twice its worst."""
KEYS = ["system", "train_seed"]
"""What tells one training from another in a table."""
BUDGET = ["images", "epochs", "budget_bytes", "flip"]
"""What all rows of a table share."""
HARDER = (0.01, 0.025, 0.05)
"""Bit error rates at which bursts, and a rate that nobody knows, are measured too."""


LINKS: tuple[Link, ...] = (
    *(BitErrors(ber) for ber in RATES),
    *(Bursts(ber) for ber in HARDER),
    *(Believed(BitErrors(ber)) for ber in HARDER),
)
"""Links of the benchmark: independent errors at a known rate, bursts, and a rate that is believed to be 1 %."""


def measured(
    system: OffloadSystem | Mapping[float, OffloadSystem], test: Split, links: Sequence[Link] = LINKS, seeds: int = 3
) -> pd.DataFrame:
    """Return the sweep of a system over links, with what it costs; the column `link` says of which kind they are.

    Of several systems, for a sender that knows the rate, each is used up to the rate that it stands under.
    """
    several = system if isinstance(system, Mapping) else {0.5: system}
    tables = []
    for most, each in several.items():
        least = max([key for key in several if key < most], default=-1.0)
        if own := [link for link in links if least < _believed(link) <= most]:
            table = sweep([each], test, own, seeds).assign(**costs(each, test[0]["image"]))
            tables.append(table.assign(link=table["link"].fillna(INDEPENDENT) if "link" in table else INDEPENDENT))
    return pd.concat(tables, ignore_index=True)


def _believed(link: Link) -> float:
    """Return the bit error rate that a sender chooses for."""
    return link.ber if isinstance(link, Believed) else float(link.settings["ber"])


def benchmark(
    compared: Mapping[str, Compared],
    model: SplitModel,
    data: ImageDataset,
    budget: Budget,
    path: Path,
    train_seeds: Sequence[int] = (0, 1, 2),
    test_images: int | None = 1000,
    command: str = "",
    run: Run = SILENT,
) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Train and measure systems, seed by seed; yields name, training seed and rows as they are added to the table.

    What the table at `path` holds already is not done again. Several processes may share a table. Raises ValueError,
    before anything is trained, where it holds rows of another budget.
    """
    test = data.test.take(test_images)
    steps = {"images": budget.images, "epochs": "+".join(map(str, budget.epochs))}
    about = steps | {"budget_bytes": budget.bytes, "flip": budget.flip}
    table = read_benchmark(path)[BUDGET].drop_duplicates()
    other = table[(table != list(about.values())).any(axis=1)]
    if len(other):
        one = other.iloc[0]
        found = f"{one.images} images, {one.epochs} epochs, {one.budget_bytes} bytes{', mirrored' * bool(one.flip)}"
        raise ValueError(f"{path} holds trainings of another budget, {found}; give another file to add to")
    for seed in train_seeds:
        for name, each in compared.items():
            if not each.trained and seed != train_seeds[0]:
                continue
            table = read_benchmark(path)
            if (table[KEYS] == [name, seed]).all(axis=1).any():
                continue
            with placed(training_device(), model):
                system = each.make(model, data, replace(budget, seed=seed), run)
                rows = measured(system, test).assign(
                    system=name, kind=each.kind, trained=each.trained, train_seed=seed, **about, command=command
                )
            rows = rows.rename(columns={model.task.metric: "score"}).assign(metric=model.task.metric)
            rows = rows[[*COLUMNS, *(column for column in rows if column.endswith(("_macs", "_weights")))]]
            with alone(path.parent), replacing(path) as temporary:  # another process may have written since
                table = pd.concat([read_benchmark(path), rows], ignore_index=True)
                table.to_csv(temporary, index=False, float_format="%.6g")
            yield name, seed, rows


COLUMNS = [
    "system", "kind", "trained", *BUDGET, "train_seed", "bytes", "link", "ber", "seed", "metric", "score",
    "agreement", "feature_mse", "command",
]  # fmt: skip


def read_benchmark(path: Path) -> pd.DataFrame:
    """Return a table of the benchmark, empty where there is none; a ValueError where it is another."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{path} is no table of the benchmark: it lacks the column {missing[0]!r}")
    return table
