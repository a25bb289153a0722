"""The pages of published results: `data/results/README.md`, checkpoint pages, and the block of results in README.md.

The text stands in `data/results/README.tmpl`; every `$name` in it is a table or a number made here from the tables.
"""

import re
from pathlib import Path
from string import Template

import pandas as pd

from semanticnn_core.evaluation import ranking, tables
from semanticnn_core.evaluation.benchmark import read_benchmark
from semanticnn_core.evaluation.publish import checkpoint_page, score_in_words, spread_in_words
from semanticnn_core.evaluation.report import codecs, device, links, maps, published
from semanticnn_core.evaluation.report.words import (
    CODEC,
    NETWORKS,
    PAPER_DATA,
    checkpoint_files,
    default_checkpoint,
    markdown,
    published_table,
    short_percent,
)
from semanticnn_core.evaluation.sweep import summarize
from semanticnn_core.files import located

TEMPLATE = "README.tmpl"
FIRST = 4
"""Compared systems that the front page names beside ours."""
MADE = "<!-- Made by `semanticnn results`"
"""How a page begins that may be written again."""
BLOCK = re.compile(r"(<!-- semanticnn results -->\n).*?(<!-- end of results -->)", re.DOTALL)
"""What of README.md is written: that between these marks."""


def pages(root: str | Path = "data") -> dict[Path, str]:
    """Return what is to stand in each page that the tables below `root` give, by path.

    Raises FileNotFoundError where a table or the template is missing, ValueError where a table lacks a column or a page
    was written by somebody else.
    """
    root = located(root)
    found = {path.parent / "README.md": checkpoint_page(path.parent) for path in checkpoint_files(root)}
    page, front = root / "results" / "README.md", root.parent / "README.md"
    if page.exists() and not page.read_text(encoding="utf-8").startswith(MADE):
        raise ValueError(f"{page} does not begin with {MADE!r}, so it is not replaced; move it elsewhere")
    found[page] = results_page(root)
    if front.exists() and BLOCK.search(text := front.read_text(encoding="utf-8")):
        found[front] = BLOCK.sub(lambda marks: marks[1] + front_block(root) + marks[2], text)
    return found


def results_page(root: Path) -> str:
    """Return the page of all published measurements: the template, filled from the tables."""
    template = root / "results" / TEMPLATE
    if not template.is_file():
        raise FileNotFoundError(f"{template} is missing: the text around the tables")
    return Template(template.read_text(encoding="utf-8")).substitute(values(root))


def values(root: Path) -> dict[str, str]:
    """Return the tables and numbers of the page by the names that the template gives them."""
    sections = (
        published.published_section,
        codecs.windows_section,
        codecs.schemes_section,
        codecs.levers_section,
        codecs.benchmark_section,
        codecs.cifar_section,
        links.links_section,
        links.estimates_section,
        links.detection_section,
        codecs.noise_section,
        codecs.notes_section,
        maps.truth_section,
        maps.xai_section,
        device.firmware_section,
        device.speed_section,
    )
    return {name: text for section in sections for name, text in section(root).items()}


def front_block(root: Path) -> str:
    """Return the results in the project's README: the default checkpoint's table, and a line on each comparison."""
    table, about = default_checkpoint(root)
    clean, sizes = about["results"]["clean_accuracy"], about["systems"][CODEC]["results"]
    rows = {
        short_percent(row.ber): [score_in_words(row), f"{100 * (clean - row.accuracy):.1f}"]
        for row in summarize(table[table["slice_ratio"] == 1]).itertuples()
    }
    shown = pd.DataFrame.from_dict(rows, "index", columns=[f"accuracy (uncompressed: {clean:.2%})", "points lost"])
    cifar = published_table(root, PAPER_DATA)
    means = [f"{row.system} {score_in_words(row)}" for row in tables.grid_means(cifar)[:2].itertuples()]
    places = ranking.ranking(read_benchmark(tables.table_path("scene_digits", "benchmark", root)))
    fair = places[places["kind"] == "fair"][ranking.GRID]
    named = [place < FIRST or name == ranking.OURS for place, name in enumerate(fair.index)]
    rivals = [f"{name} {100 * mean:.1f}%" for name, mean in fair[named].items()]
    lines = [
        f"{NETWORKS[about['base']['model']]} at {about['base']['image_size']} px on SceneDigits, test split, "
        f"{spread_in_words(table)} over {table['seed'].nunique()} channel seeds.",
        f"Every image leaves as {sizes['payload_bytes']} bytes, {sizes['image_times']:.0f} times less than its pixels.",
        "",
        markdown(shown.rename_axis("bit error rate")),
        "",
        f"- CIFAR-100, mean over 0.01–5% errors: {', '.join(means)}; "
        f"uncompressed {tables.uncompressed_accuracy(cifar):.2%}.",
        f"- Benchmark of compared systems, SceneDigits, short trainings, the same mean: {'; '.join(rivals)}.",
        "",
    ]
    return "\n".join(lines)
