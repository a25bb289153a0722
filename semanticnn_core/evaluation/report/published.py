"""What the page of results says of the published checkpoints: all in one table, then each by itself."""

from pathlib import Path

import numpy as np
import pandas as pd

from semanticnn_core.config import BER_GRID, percent
from semanticnn_core.evaluation.publish import RESULTS, results_in_words
from semanticnn_core.evaluation.report.words import NETWORKS, checkpoint_files, description_of, markdown, read_columns


def published_section(root: Path) -> dict[str, str]:
    """Fill in the published checkpoints: tables, and the commands in each config.json."""
    lines, brief = [], {}
    for path in checkpoint_files(root):
        folder, about = path.parent, description_of(path.parent)
        systems, base = about.get("systems", {}), about["base"]
        metric = about.get("metric", "accuracy")
        clean = about.get("results", {}).get(f"clean_{metric}")
        shown = "" if metric == "accuracy" else f"{metric} "
        for name in systems:
            brief[f"{folder.name}, {name}"] = _brief(read_columns(folder / RESULTS), name, base, metric, clean)
        lines += [
            f"### [{folder.name}](../checkpoints/{folder.name})",
            "",
            f"{base['model']} at {base['image_size']} px on {about.get('dataset', 'unknown data')}"
            + (f"; uncompressed: {shown}**{clean:.2%}**." if clean is not None else "."),
            "",
            *results_in_words(folder, systems, "####", metric),
        ]
        commands = [*about.get("commands", []), *(each for one in systems.values() for each in one.get("commands", []))]
        lines += ["```", *dict.fromkeys(commands), "```", ""]
    grid = ", ".join(map(percent, BER_GRID))
    return {
        "checkpoints_brief": markdown(pd.DataFrame.from_dict(brief, "index").rename_axis("checkpoint, codec")),
        "checkpoints": "\n".join(lines).strip(),
        "grid": grid,
        "grid_mean": percent(np.mean(BER_GRID)),
    }


def _brief(table: pd.DataFrame, system: str, base: dict, metric: str, clean: float) -> dict[str, str]:
    """Return a codec's row: what it sends, and what is lost of the uncompressed network's score, in points."""
    whole = table[(table["system"] == system) & (table["slice_ratio"] == 1)]
    at = whole.groupby("ber")[metric].mean()
    rates = {"mean over 0.01–5 %": at[list(BER_GRID)].mean(), "5 %": at[0.05], "10 %": at.get(0.1, np.nan)}
    lost = {f"lost, {name}": f"{100 * (clean - score):.1f}" if score == score else "" for name, score in rates.items()}
    return {
        "network": f"{NETWORKS.get(base['model'], base['model'])}, {base['image_size']} px",
        "bytes": f"{whole['bytes'].mean():.0f}",
        "uncompressed": f"{metric} {clean:.2%}",
        **lost,
    }
