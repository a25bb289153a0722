"""`semanticnn run`: notebooks, executed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Run:
    """Execute notebooks and leave them, their HTML pages and an index.html in a folder."""

    notebooks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Which ones, by number or name (01, 03_semantic_finetuning); all when left out."""
    parameter: Annotated[
        tuple[tuple[str, str], ...],
        tyro.conf.arg(name="parameter", aliases=("-p",), metavar="NAME VALUE"),
        tyro.conf.UseAppendAction,
    ] = ()
    """Set a notebook parameter, e.g. -p ber 0.02 -p dataset cifar100."""
    profile: Literal["fast", "full"] = "fast"
    """fast: a minute a notebook; full: real training."""
    out: Path = Path("runs")
    """Folder for the results."""
    jobs: int = 2
    """Notebooks that run at the same time and share the cores; each takes up to 3 GB of memory."""

    def __call__(self) -> None:
        from semanticnn_core.runner.notebooks import run_notebooks

        results = run_notebooks(self.notebooks, dict(self.parameter), self.profile, self.out, jobs=self.jobs)
        if any(result.error for result in results):
            sys.exit(1)
