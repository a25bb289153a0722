"""`semanticnn results`: the pages that show published measurements."""

import sys
from dataclasses import dataclass
from pathlib import Path

from semanticnn_core.settings import Settings


@dataclass(frozen=True)
class Results(Settings):
    """Write the pages that show published measurements: results/README.md, each checkpoint's page, README's table."""

    check: bool = False
    """Write nothing; name the pages that differ from what the tables give, and end with status 1 if there are any."""
    data_root: Path = Path("data")
    """Where results and checkpoints lie."""

    def __call__(self) -> None:
        from semanticnn_core.evaluation.report import pages
        from semanticnn_core.files import write_text

        found = pages(self.data_root)
        stale = [path for path, text in found.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        if stale and self.check:
            names = ", ".join(map(str, stale))
            sys.exit(f"{names}: not what the tables give; write them with: semanticnn results")
        for path in stale:
            write_text(path, found[path])
        print("\n".join(f"{path}: written" for path in stale) or f"all {len(found)} pages are as the tables give them")
