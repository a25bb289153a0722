"""`semanticnn evaluate`: a checkpoint, measured."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from semanticnn_core.commands.shared import this_command
from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT, UNCOMPRESSED, Slice, Window
from semanticnn_core.settings import POSITIVE, Settings, setting


@dataclass(frozen=True)
class Evaluate(Settings):
    """Measure a checkpoint on its test split over bit error rates, slice ratios and channel seeds."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    system: str = "semanticnn"
    """Which of the checkpoint's systems."""
    dataset: str | None = None
    """Data set to test on; the one it was trained on when left out."""
    ber: tuple[float, ...] = setting(BER_GRID, 0, 0.5)
    """Bit error rates, fractions in [0, 0.5]."""
    slice_ratio: tuple[float, ...] = setting((1.0,), POSITIVE, 1)
    """Shares of the code that are sent, in (0, 1]."""
    window: Window = "center"
    """Where that part lies: in the middle, or where the device's table of importance (or energy) says."""
    seeds: int = setting(3, 1, 10_000)
    """Number of channel seeds."""
    limit: int | None = setting(None, 1)
    """Use only that many test images."""
    json: bool = False
    """Print one JSON object and nothing else."""
    name: str = "SemanticNN"
    """What the system is called in the table of `--out`."""
    out: Path | None = None
    """CSV table to write too, with the commands that made it; rows of other names in it stay."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def check_together(self) -> None:
        for name in ("ber", "slice_ratio"):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one value")
        if not self.name or self.name == UNCOMPRESSED:
            raise ValueError(f"name must be one of its own and not {UNCOMPRESSED!r}, got {self.name!r}")
        if self.out is not None and self.out.suffix != ".csv":
            raise ValueError(f"out must be a .csv file, got {self.out}")

    def __call__(self) -> None:
        from semanticnn_core.channels import BitErrors
        from semanticnn_core.evaluation import byte_counts, summarize, sweep
        from semanticnn_core.evaluation.doctor import network_finding
        from semanticnn_core.evaluation.publish import add_results, check_results, sizes_in_words
        from semanticnn_core.evaluation.tables import read_table
        from semanticnn_core.files import claim
        from semanticnn_core.systems import SemanticNN, open_checkpoint

        if self.out is not None:
            claim(self.out.parent, lambda path: True, "semanticnn evaluate", ())
            if self.out.exists():
                read_table(self.out)  # refuses what is no table of ours
        checkpoint, data = open_checkpoint(self.checkpoint, self.dataset or "", self.data_root)
        model, codec = checkpoint.model.folded(), checkpoint.system(self.system)
        test = data.test.take(self.limit)
        answers = model.answer_all(test)
        clean, metric = model.task.score(answers, test.columns), model.task.metric
        network = network_finding(model.task, answers, test.columns)
        if network.level != "ok":
            print(network, file=sys.stderr)
        if self.out is not None:
            if metric != "accuracy":
                raise ValueError(f"out is for tables of accuracy, this network is scored by {metric}; leave it out")
            check_results(self.out, clean, len(test))
        slices = [Slice(ratio, self.window) for ratio in self.slice_ratio]
        sizes = byte_counts(model, codec, max(slices, key=lambda each: each.ratio))
        systems = [SemanticNN(model, codec, each, self.name) for each in slices]
        table = sweep(systems, test, [BitErrors(ber) for ber in self.ber], self.seeds)
        if self.out is not None:
            own = checkpoint.about.get("systems", {}).get(self.system, {})
            commands = [*checkpoint.about.get("commands", []), *own.get("commands", []), this_command()]
            add_results(self.out, table, clean, len(test), sizes["image_bytes"], commands)
        if self.json:
            keys = [name for name in table if name not in ("system", "share_sent")]
            print(json.dumps({f"clean_{metric}": clean, **sizes, "results": table[keys].to_dict("records")}))
            return
        share = "" if metric == "accuracy" else f"{metric} "
        print(f"uncompressed: {share}{clean:.2%} of {len(test)} test images")
        print(sizes_in_words(sizes))
        print(
            summarize(table, metric=metric)
            .drop(columns="system")
            .to_string(index=False, float_format=lambda value: f"{value:.4g}")
        )
