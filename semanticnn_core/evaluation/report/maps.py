"""What the page of results says of attribution maps, and of training with them."""

from pathlib import Path

import pandas as pd

from semanticnn_core.config import BER_GRID
from semanticnn_core.evaluation.report.words import (
    PAPER_DATA,
    commands_of,
    in_points,
    markdown,
    published_table,
    sure_at,
)

METHODS = {
    "integrated_gradients": "Integrated Gradients",
    "gradient_shap": "GradientSHAP",
    "deep_lift": "DeepLIFT",
    "occlusion": "occlusion",
    "saliency": "saliency",
    "input_x_gradient": "input × gradient",
    "random": "noise",
}


def truth_section(root: Path) -> dict[str, str]:
    """Fill in attribution maps against the truth, and by deletion and insertion where there is none."""
    truth, cifar = (published_table(root, dataset, "truth") for dataset in ("scene_digits", PAPER_DATA))
    gap = truth[(truth["metric"] == "gap") & (truth["feature"] == "clean") & (truth["level"] == "pixel")]
    gap = gap.set_index("method")["median"]
    shown = _maps(truth, {"inside": ("ratio", 1, 1), "pointing": ("pointing", 100, 0)})
    shown["completeness gap, median, %"] = [f"{100 * gap[each]:.2g}" if each in gap else "–" for each in METHODS]
    curves = {"deletion": ("deletion", 1, 3), "insertion": ("insertion", 1, 3)}
    return {
        "truth": markdown(shown.rename(index=METHODS)),
        "truth_commands": commands_of(truth),
        "cifar_truth": markdown(_maps(cifar, curves).rename(index=METHODS)),
        "cifar_truth_commands": commands_of(cifar),
        "truth_images": str(truth.loc[truth["metric"] == "deletion", "images"].max()),
        "cifar_truth_images": str(cifar.loc[cifar["metric"] == "deletion", "images"].max()),
    }


def _maps(table: pd.DataFrame, metrics: dict[str, tuple[str, float, int]]) -> pd.DataFrame:
    """Return a row a method: each metric (its name, factor and decimals) at the feature sent and received."""
    rows = table[table["level"] == "pixel"]
    shown = pd.DataFrame(index=pd.Index(METHODS, name="method"))
    for title, (metric, times, decimals) in metrics.items():
        for feature, name in {"clean": "sent", "received": "received"}.items():
            cells = rows[(rows["feature"] == feature) & (rows["metric"] == metric)].set_index("method").reindex(METHODS)
            shown[f"{title}, {name}"] = [
                f"{times * row.mean:.{decimals}f} ± {times * row.standard_error:.{decimals}f}"
                for row in cells[["mean", "standard_error"]].itertuples(index=False, name="Row")
            ]
    return shown


def xai_section(root: Path) -> dict[str, str]:
    """Fill in trainings with and without L_XAI: accuracy, and what their maps are worth."""
    table, maps = published_table(root, "scene_digits", "xai"), published_table(root, "scene_digits", "explanations")
    gamma = table["gamma"].max()
    keys = ["slice_ratio", "window", "bytes"]
    grid = (
        table[table["ber"].isin(BER_GRID)].groupby([*keys, "train_seed", "gamma"])["accuracy"].mean().unstack("gamma")
    )
    difference = (grid[gamma] - grid[0]).groupby(keys).agg(["mean", "sem", "size"])
    rows = [
        dict(zip(("slice ratio", "window", "bytes", "points"), words, strict=True))
        for words in (
            (f"{ratio:g}", window, f"{size:.0f}", in_points(row["mean"], row["sem"]))
            for (ratio, window, size), row in difference[::-1].iterrows()
        )
    ]
    values = maps[(maps["metric"].isin(("ratio", "pointing"))) & (maps["feature"] != "clean")]
    shown = {}
    for row in values.itertuples():
        times, decimals, title = (1, 1, "inside") if row.metric == "ratio" else (100, 0, "pointing, %")
        cell = f"{times * row.mean:.{decimals}f} ± {times * row.standard_error:.{decimals}f}"
        name = f"{title}, {row.feature.removeprefix('received, ')}"
        shown.setdefault(name, {})[METHODS[row.method]] = cell
    return {
        "xai": markdown(pd.DataFrame(rows).set_index("slice ratio")),
        "xai_maps": markdown(pd.DataFrame(shown)[sorted(shown)].rename_axis("method")),
        "xai_gamma": f"{gamma:g}",
        "xai_seeds": str(table["train_seed"].nunique()),
        "xai_sure_at": sure_at([int(difference["size"].max())]),
        "xai_commands": commands_of(table),
    }
