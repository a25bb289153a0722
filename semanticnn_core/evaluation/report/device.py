"""What the page of results says of the firmware and of speed."""

from pathlib import Path

import pandas as pd

from semanticnn_core.config import percent
from semanticnn_core.evaluation.report.words import NETWORKS, commands_of, in_percent, markdown, result_table


def firmware_section(root: Path) -> dict[str, str]:
    """Fill in the device's costs, and how it was compared with the encoder in PyTorch."""
    found = {name: result_table(root, f"firmware-{name}") for name in ("costs", "bytes", "symbols", "accuracy")}
    rows, costs = {}, found["costs"]
    compilers = " / ".join(costs["compiler"].unique())
    for name, each in costs.groupby("model", sort=False):
        kind, _, rest = name.partition(", ")
        both = {
            "RAM with stack, KB": each["ram_kb"].map("{:.1f}".format),
            "flash, KB": each["flash_kb"].map("{:.1f}".format),
            "instructions, millions": each["instructions_millions"].map("{:.3g}".format),
            "for each multiplication": each["instructions_per_mac"].map("{:.2f}".format),
        }
        title = f"{NETWORKS.get(kind, kind)}, {rest}, {each['payload_bytes'].iloc[0]:,.0f} B"
        rows[title] = {column: " / ".join(dict.fromkeys(cells)) for column, cells in both.items()}
    sums, symbols, accuracy = found["bytes"][["bytes", "differ"]].sum(), found["symbols"].iloc[0], found["accuracy"]
    shown = {
        percent(row.ber): {
            "float encoder": in_percent(row.floats),
            "integer encoder": in_percent(row.integers),
            "integers − floats, points": f"{row.difference:+.2f} ± {row.std:.2f}",
        }
        for row in accuracy.itertuples()
    }
    return {
        "firmware": markdown(pd.DataFrame.from_dict(rows, "index").rename_axis(f"device side ({compilers})")),
        "firmware_commands": commands_of(costs),
        "firmware_bytes": f"{sums['bytes'] / 1e6:.1f} million",
        "firmware_differ": f"{sums['differ']:,}" if sums["differ"] else "none",
        "firmware_equal": f"{symbols['equal']:.1%}",
        "firmware_one_step": f"{symbols['one_step']:.1%}",
        "firmware_further": f"{symbols['further']:.1%}" if symbols["further"] else "none",
        "firmware_seeds": str(accuracy["seeds"].max()),
        "firmware_accuracy": markdown(pd.DataFrame.from_dict(shown, "index").rename_axis("bit error rate")),
        "firmware_check_commands": commands_of(found["bytes"], found["symbols"], accuracy),
    }


def speed_section(root: Path) -> dict[str, str]:
    """Fill in training speed, packing speed and the playground's latency."""
    speed, packing, latency = (result_table(root, name) for name in ("speed", "packing", "latency"))
    columns = {}
    for title, name in {"": "of_limit", " (folded)": "of_folded_limit"}.items():
        for network, rows in speed.groupby("network", sort=False):
            cells = rows.set_index("what")[name]
            columns[f"{NETWORKS.get(network, network)}{title}"] = {
                what: f"{each:.2f}" if pd.notna(each) else "" for what, each in cells.items()
            }
    shown = latency.pivot(index="picture", columns="after", values="p95").loc[latency["picture"].unique()]
    shown = shown.map(lambda time: f"{time:.0f}").rename(columns={"key": "a key", "drag": "a fast drag"})
    return {
        "speed": markdown(pd.DataFrame(columns).rename_axis("step")),
        "packing": f"{packing['mb_per_second'].iloc[0]:.0f}",
        "speed_commands": commands_of(speed, packing),
        "latency": markdown(shown[sorted(shown)[::-1]].rename_axis("what is shown")),
        "latency_commands": commands_of(latency),
    }
