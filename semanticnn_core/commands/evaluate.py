"""`semanticnn evaluate`: a checkpoint, measured."""

import json
from dataclasses import dataclass
from pathlib import Path

from semanticnn_core.commands.shared import codec_of, this_command
from semanticnn_core.config import BER_GRID, DEFAULT_CHECKPOINT, UNCOMPRESSED, Window


@dataclass(frozen=True)
class Evaluate:
    """Measure a checkpoint on its test split over bit error rates, slice ratios and channel seeds."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    dataset: str | None = None
    """Data set to test on; the one it was trained on when left out."""
    ber: tuple[float, ...] = BER_GRID
    """Bit error rates, fractions in [0, 0.5]."""
    slice_ratio: tuple[float, ...] = (1.0,)
    """Shares of the code that are sent, in (0, 1]."""
    window: Window = "center"
    """Where that part lies: in the middle, or where the device's table of importance (or energy) says."""
    seeds: int = 3
    """Number of channel seeds."""
    limit: int | None = None
    """Use only that many test images."""
    json: bool = False
    """Print one JSON object and nothing else."""
    name: str = "SemanticNN"
    """What the system is called in the table of `--out`."""
    out: Path | None = None
    """CSV table to write too, with the commands that made it; rows of other names in it stay."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __post_init__(self) -> None:
        for name, low, high in (("ber", 0.0, 0.5), ("slice_ratio", 1e-9, 1.0)):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one value")
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise ValueError(
                        f"{name} must be in {'(0, 1]' if name == 'slice_ratio' else '[0, 0.5]'}, got {value:g}"
                    )
        for name in ("seeds", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.name or self.name == UNCOMPRESSED:
            raise ValueError(f"name must be one of its own and not {UNCOMPRESSED!r}, got {self.name!r}")

    def __call__(self) -> None:
        from semanticnn_core.datasets import load_dataset
        from semanticnn_core.evaluation import byte_counts, summarize, sweep
        from semanticnn_core.evaluation.publish import add_results, check_results, sizes_in_words
        from semanticnn_core.systems import load_checkpoint, matching
        from semanticnn_core.tasks import clean_accuracy

        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        model, codec = checkpoint.model, codec_of(checkpoint)
        name = self.dataset or checkpoint.about["dataset"]
        data = matching(load_dataset(name, self.data_root, model.image_size), checkpoint)
        test = data.test.take(self.limit)
        clean = clean_accuracy(model, test)
        if self.out is not None:
            check_results(self.out, clean, len(test))
        sizes = byte_counts(model, codec, max(self.slice_ratio), self.window)
        table = sweep(model, codec, test, self.ber, self.slice_ratio, self.seeds, self.name, self.window)
        if self.out is not None:
            commands = [*checkpoint.about.get("commands", []), this_command()]
            add_results(self.out, table, clean, len(test), sizes["image_bytes"], commands)
        if self.json:
            keys = ["ber", "slice_ratio", "window", "seed", "accuracy", "agreement", "feature_mse", "bytes"]
            print(json.dumps({"clean_accuracy": clean, **sizes, "results": table[keys].to_dict("records")}))
            return
        print(f"uncompressed: {clean:.2%} of {len(test)} test images")
        print(sizes_in_words(sizes))
        print(summarize(table).drop(columns="system").to_string(index=False, float_format=lambda value: f"{value:.4g}"))
