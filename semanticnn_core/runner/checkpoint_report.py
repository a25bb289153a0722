"""The page about one checkpoint: what it can do, over which links, at what cost, and how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from semanticnn_core.channels import BinarySymmetric, BitErrors
from semanticnn_core.config import BER_GRID, WHOLE, Slice, percent
from semanticnn_core.datasets.base import ImageDataset, Split, listed
from semanticnn_core.evaluation.classes import certainty, class_table
from semanticnn_core.evaluation.costs import costs
from semanticnn_core.evaluation.doctor import Finding
from semanticnn_core.evaluation.publish import RESULTS, sizes_in_words, table_in_words
from semanticnn_core.evaluation.sweep import Crossed, byte_counts, crossed, summarize, sweep
from semanticnn_core.runner import document
from semanticnn_core.runner.examples import examples, explanations
from semanticnn_core.systems import SemanticNN
from semanticnn_core.systems.checkpoints import Checkpoint
from semanticnn_core.viz.firmware import BOARD
from semanticnn_core.viz.measured import draw_bytes, draw_importance, draw_score
from semanticnn_core.viz.style import use_style

BERS = (*BER_GRID, 0.1)
"""Bit error rates that are measured where a checkpoint has no table of results."""
SHOWN_BERS = (0.01, 0.05, 0.1)
"""Bit error rates of the examples; the middle one is that of the classes and the maps."""
EXAMPLES, LOST, LOOKED_AT, EXPLAINED, CLASSES = 3, 2, 64, 3, 10
"""Test images shown as they come, further ones that the link spoils, of how many; images with maps, classes named."""


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    given: the checkpoint as it was named. system: the codec of examples, classes and maps; None where it has none.
    data: None where it is missing, `missing` then says why. images: test images that are looked at. command: what
    makes the page.
    """

    given: str
    folder: Path
    checkpoint: Checkpoint
    system: str | None
    data: ImageDataset | None
    missing: str
    findings: Sequence[Finding]
    images: int
    command: str

    @property
    def metric(self) -> str:
        return self.checkpoint.model.task.metric

    @property
    def clean(self) -> float | None:
        """What the uncompressed network scored on the whole test split, where the checkpoint says it."""
        return self.checkpoint.about.get("results", {}).get(f"clean_{self.metric}")

    @property
    def classes(self) -> Sequence[str]:
        return self.data.classes

    @cached_property
    def offload(self) -> SemanticNN:
        """The system of the examples."""
        return SemanticNN(self.checkpoint.model.folded(), self.checkpoint.system(self.system), name=self.system)

    @cached_property
    def split(self) -> Split:
        """The test images that are looked at, in an order that is always the same and not by class."""
        chosen = self.data.test.take(self.images)
        return chosen.pick(torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0)))

    @cached_property
    def arrived(self) -> Crossed:
        """Outputs of these images, uncompressed and at each of the shown bit error rates."""
        return crossed(self.offload, self.split, [BinarySymmetric(ber, 0) for ber in SHOWN_BERS])


def report_page(about: Subject) -> str:
    """Return the page, HTML that needs nothing beside it."""
    use_style()
    parts = [_opening, _link, _classes, _examples, _maps, _device, _doctor, _commands]
    return document.page(f"{about.checkpoint.name}: a report", [part(about) for part in parts])


def _opening(about: Subject) -> str:
    base, known = about.checkpoint.model.description, about.checkpoint.about
    named = f" ({listed(known['classes'], 10)})" if known.get("classes") else ""
    text = (
        f"{base['model']} for {base['classes']} classes{named} at {base['image_size']} px, cut after the "
        f"{base['cut']}, trained on {known.get('dataset', 'unknown data')}. A device runs what is before the cut and "
        "sends a short code; the edge runs the rest, also when bits flip on the way."
    )
    if about.data is None:
        missing = f"The images are missing ({about.missing}). What needs them is left out: classes, examples, maps."
        return document.paragraph(text) + document.paragraph(missing, bad=True)
    if about.metric != "accuracy":
        return document.paragraph(text)
    clean = about.clean if about.clean is not None else about.checkpoint.model.score(about.data.test)
    return document.paragraph(text) + document.paragraph(certainty(clean, about.data))


def _link(about: Subject) -> str:
    title = "Score over bit errors and bytes"
    systems = about.checkpoint.about.get("systems", {})
    table, source = _measured(about)
    if table is None:
        return document.section(title, document.paragraph(source))
    clean = about.clean
    names = listed(table["system"].unique())
    pictures = [(draw_score(table, about.metric, clean), f"{about.metric} over the bit error rate of {names}")]
    if table["bytes"].nunique() > 1:
        words = f"{about.metric} over the bytes sent of {names}, mean over 0.01 to 5 % bit errors"
        pictures.append((draw_bytes(table, about.metric), words))
    whole = table[table["slice_ratio"] == 1]
    points = summarize(whole, ["system"], about.metric).rename(columns={"system": "codec"})
    rows = []
    for row in points.itertuples():
        mine = whole[whole["system"] == row.codec].groupby("ber")[about.metric].mean()
        scores = (f"{mine[ber]:.1%}" if ber in mine else "–" for ber in SHOWN_BERS)
        rows.append([row.codec, f"{row.bytes:.0f}", *scores])
    head = ["codec", "bytes an image", *(f"{about.metric} at {percent(ber)}" for ber in SHOWN_BERS)]
    score = "not measured" if clean is None else f"{clean:.1%}"
    return document.section(
        title,
        document.paragraph(f"{source} Uncompressed {about.metric}: {score}."),
        document.table(f"{about.metric} of each codec", head, rows),
        document.plots(*pictures),
        document.folded("All numbers", table_in_words(table, systems, "###", about.metric)),
    )


def _measured(about: Subject) -> tuple[pd.DataFrame | None, str]:
    """Return the rows of all systems, from the checkpoint's table or measured now, and a sentence on which."""
    if about.system is None:
        return None, "There is no codec yet, so nothing can be sent."
    wanted, path = list(about.checkpoint.systems), about.folder / RESULTS
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["system"])
    there = table[table["system"].isin(wanted)]
    if len(there) and set(there["system"]) == set(wanted):
        return there, f"From {RESULTS}, measured on the whole test split when the codec was trained."
    if about.data is None:
        return None, f"Not known: the checkpoint has no {RESULTS} of all its codecs, and the images are missing."
    model = about.offload.model
    codecs = {name: about.checkpoint.system(name) for name in wanted}
    systems = [SemanticNN(model, codec, part, name) for name, codec in codecs.items() for part in (WHOLE, Slice(0.5))]
    source = (
        f"Measured for this page on {len(about.split):,} test images with 3 channel seeds, as the checkpoint has no "
        f"{RESULTS} of all its codecs."
    )
    return sweep(systems, about.split, [BitErrors(ber) for ber in BERS]), source


def _classes(about: Subject) -> str:
    if about.data is None or about.system is None:
        return ""
    names = ["uncompressed", *map(percent, SHOWN_BERS[:2])]
    outputs = dict(zip(names, (about.arrived.clean, *about.arrived.outputs), strict=False))
    table = class_table(about.offload.model.task, outputs, about.split.columns, about.classes)
    rows = [
        [row[0], f"{row[1]:,}", *(f"{share:.0%}" for share in row[2:-1]), row[-1]]
        for row in table.head(CLASSES).itertuples(index=False, name=None)
    ]
    kind = "images" if about.metric == "accuracy" else "objects"
    text = (
        f"Share of {kind} answered right by {about.system}, of {len(about.split):,} test images; the classes that lose "
        f"most at {names[-1]} bit errors first."
    )
    head = ["class", kind, "uncompressed", *(f"at {each}" for each in names[1:]), f"mistaken at {names[-1]} for"]
    return document.section("Worst classes", document.paragraph(text), document.table("worst classes", head, rows))


def _examples(about: Subject) -> str:
    if about.data is None or about.system is None:
        return ""
    strips = list(examples(about.offload, about.split[:LOOKED_AT], about.classes, SHOWN_BERS))
    first, lost = strips[:EXAMPLES], [strip for strip, spoiled in strips[EXAMPLES:] if spoiled][:LOST]
    text = (
        f"Test images as they come, sent by {about.system}. A dark dot is a bit that is 1, a red one a bit that "
        "flipped; below the bits is what the edge makes of them, and its answer, with its probability if it has one."
    )
    parts = [document.paragraph(text), *(strip for strip, _ in first)]
    if lost:
        text = f"And images that the link spoils: right uncompressed, wrong at {percent(SHOWN_BERS[-1])} bit errors."
        parts += [document.paragraph(text), *lost]
    return document.section("Examples", *parts)


def _maps(about: Subject) -> str:
    if about.system is None:
        return ""
    codec, parts = about.checkpoint.system(about.system), []
    if about.data is not None:
        text = (
            "Which places speak for the true answer (red) and which against it (blue), by Integrated Gradients at the "
            f"edge, before the link and after {percent(SHOWN_BERS[1])} bit errors. A good codec leaves the map as it "
            "was. Beside it what the device, which has no edge network, believes to matter, from its table."
        )
        strips = explanations(about.offload, about.split[:EXPLAINED], about.classes, SHOWN_BERS[1])
        parts += [document.paragraph(text), *strips]
    if codec.importance.any():
        text = "The device's table of importance: what each symbol of each channel adds to the worth of its place."
        alt = f"table of importance of {about.system}: {len(codec.importance)} channels, {codec.config.centers} symbols"
        parts += [document.paragraph(text), document.plots((draw_importance(codec), alt))]
    return document.section("What the answer rests on", *parts)


def _device(about: Subject) -> str:
    if about.system is None:
        return ""
    model, codec = about.checkpoint.model, about.checkpoint.system(about.system)
    image = torch.zeros(3, *[model.image_size] * 2, dtype=torch.uint8)
    work = costs(SemanticNN(model, codec), image)
    exported = next(each for each in about.findings if each.about == f"{about.system}, export")
    rows = [
        ["multiplications", *(f"{work[f'{side}_macs']:,}" for side in ("device", "edge"))],
        ["weights", *(f"{work[f'{side}_weights']:,}" for side in ("device", "edge"))],
    ]
    if "ram_bytes" in exported.values:
        rows += [
            ["RAM, bytes", f"{exported.values['ram_bytes']:,}", ""],
            ["flash for tables, bytes", f"{exported.values['flash_bytes']:,}", ""],
        ]
        share = exported.values["ram_bytes"] / BOARD["all RAM"]
        text = f"As integers in C the device keeps {share:.1%} of the RAM of an STM32H750 busy, beside some stack."
    else:
        text = f"No firmware can be made of it: {exported.text}"
    sizes = sizes_in_words(byte_counts(model, codec))
    return document.section(
        "What it costs",
        document.paragraph(text),
        document.table("costs of device and edge", ["for an image", "device", "edge"], rows),
        document.paragraph(sizes),
        document.commands([f"semanticnn export --checkpoint {about.given} --system {about.system} --out firmware"]),
    )


def _doctor(about: Subject) -> str:
    items = "".join(document.item(str(each), each.level != "ok") for each in about.findings)
    return document.section("What semanticnn doctor says", f"<ul>{items}</ul>")


def _commands(about: Subject) -> str:
    known = about.checkpoint.about
    made = [known, *known.get("systems", {}).values()]
    lines = dict.fromkeys(line for each in made for line in each.get("commands", []))
    parts = [document.paragraph("The network and its codecs:"), document.commands(list(lines))] if lines else []
    parts += [document.paragraph("This page:"), document.commands([about.command])]
    return document.section("The commands that made it", *parts)
