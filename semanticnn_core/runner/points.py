"""One point of a sweep: a `semanticnn` command in a process of its own, on whatever machine a worker runs."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

OUTPUT, LOG = "output.txt", "log.txt"


def run_point(words: Sequence[str], folder: str, place: str, threads: int) -> tuple[int, float, str]:
    """Run a command in the folder `place`; returns its exit status, seconds, and the last line of its errors.

    What it prints goes to output.txt and log.txt in `folder`. It is a process of its own: torch's threads and seeds,
    matplotlib and papermill's kernels know nothing of other points, and a crash ends the point alone.
    """
    start, own = time.monotonic(), Path(folder)
    own.mkdir(parents=True, exist_ok=True)
    surroundings = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with open(own / OUTPUT, "wb") as output, open(own / LOG, "wb") as log:
        status = subprocess.run(
            [sys.executable, "-m", "semanticnn_core", *words], stdin=subprocess.DEVNULL, stdout=output, stderr=log,
            cwd=place, env=surroundings, preexec_fn=_end_with_the_worker if sys.platform == "linux" else None,
        ).returncode  # fmt: skip
    lines = (own / LOG).read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    message = next((line for line in reversed(lines) if line.strip()), "")
    return status, time.monotonic() - start, message if status else ""


def _end_with_the_worker() -> None:
    """Have Linux kill the command when its worker is killed, or the point would run twice at once."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
