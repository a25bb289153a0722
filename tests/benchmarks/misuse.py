"""Random calls that no driver should make: what is written elsewhere, and what is not said.

    .venv/bin/python tests/benchmarks/misuse.py --calls 1000000

On this machine, with sanitizers where there is a compiler that has them, and on an emulated Cortex-M7 whose other
memory is watched; the calls, their model and what is promised are in tests/stm32_misuse.c. 0: no promise was broken.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import tyro
from published import publish

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests are no package
from stm32_misuse import on_emulated_m7, on_this_machine  # noqa: E402
from stm32_models import CASES, case, small_project  # noqa: E402

from semanticnn_core.stm32.build import host_compilers, toolchains  # noqa: E402


@dataclass(frozen=True)
class MisuseBenchmark:
    """Call the firmware at random."""

    calls: int = 1_000_000
    """Calls of each firmware and witness."""
    cases: tuple[str, ...] = ("mobilenet", "odd code, adaptive", "parity, odd bytes")
    """Which of the tests' firmwares."""
    out: Path | None = None
    """Folder of the table to write as firmware-misuse.csv, for instance data/results."""

    def __call__(self) -> None:
        rows = []
        for name in self.cases:
            with TemporaryDirectory() as folder:
                project = small_project(case(CASES[name]), Path(folder) / "project")
                host, command = list(host_compilers().items())[-1]
                toolchain = toolchains()[0]
                broken = {
                    f"{host}, this machine": on_this_machine(project, command, self.calls),
                    f"{toolchain.name}, unicorn, m7": on_emulated_m7(project, toolchain, self.calls),
                }
            for witness, promise in broken.items():
                rows.append({"firmware": name, "witness": witness, "calls": self.calls, "broken_promise": promise})
                print(rows[-1], flush=True)
        if self.out:
            publish(self.out / "firmware-misuse.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    tyro.cli(MisuseBenchmark)()
