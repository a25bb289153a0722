"""`semanticnn benchmark`: every compared system, and one's own, trained and measured on one protocol."""

import sys
from dataclasses import dataclass
from pathlib import Path

from semanticnn_core.commands.shared import this_command
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.settings import Settings, setting


@dataclass(frozen=True)
class Benchmark(Settings):
    """Train systems on one budget and measure them over bit error rates, side by side.

    With the default budget a training takes a quarter of an hour on one core.
    """

    checkpoint: str = DEFAULT_CHECKPOINT
    """Whose task network is served."""
    dataset: str | None = None
    """Data set; the one the network was trained on when left out."""
    systems: tuple[str, ...] = ()
    """Names of compared systems, as --list prints them; all of them when left out."""
    system: tuple[str, ...] = ()
    """Systems of one's own, FILE.py:CLASS; with these alone, name no others."""
    list: bool = False
    """Print the names of all systems and end."""
    train_seeds: tuple[int, ...] = setting((0, 1, 2), 0, 2**31 - 1)
    """Training seeds."""
    bytes: int = setting(384, 8, 1 << 20)
    """Bytes that may leave for an image."""
    images: int = setting(8000, 1)
    """Training images."""
    epochs: tuple[int, int] = setting((2, 8), 1, 100_000)
    """Epochs of stage 1 and stage 2."""
    flip: bool = False
    """Mirror half of the training images; right for photographs, wrong for digits."""
    test_images: int = setting(1000, 1)
    """Test images."""
    out: Path | None = None
    """Table to add to; runs/benchmark-DATASET.csv when left out. What it holds already is not done again."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def check_together(self) -> None:
        if self.out is not None and self.out.suffix != ".csv":
            raise ValueError(f"out must be a .csv file, got {self.out}")
        if not self.train_seeds:
            raise ValueError("train_seeds needs at least one value")

    def __call__(self) -> None:
        from semanticnn_core.evaluation.benchmark import benchmark, read_benchmark
        from semanticnn_core.systems import open_checkpoint
        from semanticnn_core.systems.compared import PUBLISHED, SYSTEMS, from_file, published
        from semanticnn_core.systems.learned import Budget

        if self.list:
            print(*(f"{name}  ({each.kind})" for name, each in SYSTEMS.items()), f"{PUBLISHED}  (published)", sep="\n")
            return
        unknown = [name for name in self.systems if name not in (*SYSTEMS, PUBLISHED)]
        if unknown:
            raise ValueError(f"systems must be of those that --list prints, got {unknown[0]!r}")
        own = dict(from_file(words) for words in self.system)
        taken = [name for name in own if name in (*SYSTEMS, PUBLISHED)]
        if taken:
            raise ValueError(f"a system of one's own needs a name of its own; {taken[0]!r} is taken")
        checkpoint, data = open_checkpoint(self.checkpoint, self.dataset or "", self.data_root)
        known = SYSTEMS | ({PUBLISHED: published(checkpoint.codec)} if checkpoint.systems else {})
        names = self.systems or (() if own else tuple(known))
        out = self.out or Path(f"runs/benchmark-{data.name}.csv")
        read_benchmark(out)  # refuses what is no table of ours
        out.parent.mkdir(parents=True, exist_ok=True)
        budget = Budget(bytes=self.bytes, images=min(self.images, len(data.train)), epochs=self.epochs, flip=self.flip)
        if missing := [name for name in names if name not in known]:
            raise ValueError(f"{self.checkpoint} has no codec of its own; leave {missing[0]!r} out of systems")
        compared = {name: known[name] for name in names} | own
        model = checkpoint.model
        rows = benchmark(compared, model, data, budget, out, self.train_seeds, self.test_images, this_command())
        for name, seed, table in rows:
            means = table.groupby("ber")[["score", "bytes"]].mean()
            shown = ", ".join(f"{ber:.4g}: {row.score:.1%}" for ber, row in means.iterrows())
            print(f"{name}, training seed {seed}, {means['bytes'].mean():.0f} B: {shown}", flush=True)
        print(f"table: {out}", file=sys.stderr)
