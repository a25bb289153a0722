"""`semanticnn sweep`: a grid of commands (notebooks, trainings, measurements) on the workers of a Dask cluster."""

import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from semanticnn_core.settings import Settings, setting

if TYPE_CHECKING:
    import pandas as pd

TABLE, RESULTS = "points.csv", "results.csv"
GOES = ("run", "train-base", "train", "evaluate", "benchmark", "export")
"""Commands that a sweep can run."""
TIMEOUT = 10
"""Seconds after which a scheduler that does not answer counts as absent."""


@dataclass(frozen=True)
class Sweep(Settings):
    """Run a command once for every combination of some values, side by side; what is done already is not repeated.

    For instance: semanticnn sweep "evaluate --limit 200" --grid ber=0.01,0.05 seeds=3,6
    """

    command: tyro.conf.Positional[str]
    """The command and the options that all points share, in quotes."""
    grid: tuple[str, ...] = ()
    """Options that vary, NAME=VALUE,VALUE,…; for `run`, parameters of the notebook."""
    out: Path = Path("runs/sweep")
    """Folder for the points, a folder each, for points.csv and, of `evaluate`, for results.csv."""
    workers: int = setting(2, 1, 1024)
    """Processes of the local cluster."""
    threads: int = setting(1, 1, 1024)
    """Threads of a point."""
    scheduler: str | None = None
    """Address of a running cluster, tcp://HOST:PORT, made by dask-jobqueue, Kubernetes or SSH; its workers need this
    package and see the same files."""

    def __call__(self) -> None:
        import pandas as pd
        from tqdm.auto import tqdm

        points = self._points()
        done = self._done(points)
        waiting = {name: words for name, (_, words) in points.items() if name not in done["point"].to_list()}
        print(f"{len(points)} points, {len(points) - len(waiting)} of them done before", file=sys.stderr)
        self.out.mkdir(parents=True, exist_ok=True)
        with self._client() as client, tqdm(total=len(waiting), unit="point") as bar:
            for name, status, seconds, message in self._finished(client, waiting):
                values, words = points[name]
                row = {
                    "point": name,
                    **values,
                    "status": "ok" if not status else "failed",
                    "seconds": round(seconds, 1),
                }
                row |= {"message": message, "command": shlex.join(["semanticnn", *words])}
                done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
                self._write(done, points)
                bar.update()
        failed = done[done["status"] != "ok"]
        for row in failed.itertuples():
            print(f"{row.point} failed: {row.message}; see {self.out / row.point}", file=sys.stderr)
        print(self.out / TABLE)
        if len(failed):
            sys.exit(1)

    def _points(self) -> dict[str, tuple[dict[str, str], list[str]]]:
        """Return by name the values and the words of every point; what no command would take is refused."""
        from semanticnn_core.commands.words import COMMANDS, checked, parsed
        from semanticnn_core.runner.notebooks import plan_notebooks

        try:
            shared = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"command cannot be split into words ({error}), got {self.command!r}") from error
        if not shared or shared[0] not in GOES:
            raise ValueError(f"command must begin with one of {', '.join(GOES)}, got {self.command!r}")
        kind, axes = shared[0], self._axes()
        known = {each.name for each in fields(COMMANDS[kind])}
        for option in ("out", *axes):
            if f"--{option.replace('_', '-')}" in (word.partition("=")[0].replace("_", "-") for word in shared):
                raise ValueError(f"--{option} stands in the command already; each point gets one of its own")
        points = {}
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            name = ",".join(f"{key}={_safe(value)}" for key, value in chosen.items()) or "point"
            words = list(shared)
            for key, value in chosen.items():
                words += ["-p", key, value] if kind == "run" else [f"--{key.replace('_', '-')}", *value.split("+")]
            own = self.out / name / ("table.csv" if kind == "benchmark" else "out")
            words += ["--json"] if kind == "evaluate" and "--json" not in words else []
            words += ["--out", str(own)] if "out" in known and kind != "evaluate" else []
            words += ["--resume"] if "resume" in known and "--resume" not in words else []
            command = checked(parsed(words))
            if kind == "run":
                plan_notebooks(command.notebooks, dict(command.parameter))
            if name in points:
                raise ValueError(f"grid names the point {name} twice")
            points[name] = (chosen, words)
        return points

    def _axes(self) -> dict[str, list[str]]:
        """Return the values of each option of the grid."""
        axes: dict[str, list[str]] = {}
        for words in self.grid:
            name, equals, values = words.partition("=")
            name = name.removeprefix("--")
            if not equals or not name or not all(values.split(",")):
                raise ValueError(f"grid must be NAME=VALUE,VALUE, got {words!r}")
            if name in axes:
                raise ValueError(f"grid names {name} twice")
            axes[name] = values.split(",")
        return axes

    def _done(self, points: dict[str, tuple[dict[str, str], list[str]]]) -> "pd.DataFrame":
        """Return the rows of earlier calls that need not be repeated; a folder of another sweep is refused."""
        import pandas as pd

        from semanticnn_core.files import claim

        claim(self.out, lambda path: path.name in (TABLE, RESULTS) and _ours(path.parent), "semanticnn sweep",
              (TABLE, RESULTS))  # fmt: skip
        if not (self.out / TABLE).is_file():
            return pd.DataFrame({"point": [], "status": []}, dtype=str)
        table = pd.read_csv(self.out / TABLE, dtype=str, keep_default_na=False)
        for row in table.itertuples():
            if row.point in points and row.command != shlex.join(["semanticnn", *points[row.point][1]]):
                raise ValueError(
                    f"{self.out} holds the point {row.point} of another command, {row.command!r}; give another --out"
                )
        return table[table["status"] == "ok"]

    @contextmanager
    def _client(self) -> "Iterator[Any]":
        """Connect to the cluster, or make one on this machine."""
        from distributed import Client, LocalCluster

        if self.scheduler is None:
            options = {"n_workers": self.workers, "threads_per_worker": 1, "dashboard_address": None}
            with LocalCluster(**options, silence_logs="ERROR") as cluster, Client(cluster) as client:
                yield client
            return
        try:
            client = Client(self.scheduler, timeout=TIMEOUT)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no Dask scheduler answers at {self.scheduler} within {TIMEOUT} s; start one, or leave --scheduler out"
            ) from error
        with client:
            yield client

    def _finished(self, client: Any, waiting: dict[str, list[str]]) -> Iterator[tuple[str, int, float, str]]:
        """Yield name, exit status, seconds and message of points as they end; Dask runs those of lost workers again."""
        from distributed import as_completed

        from semanticnn_core.runner.points import run_point

        here = os.getcwd()
        futures = {}
        for name, words in waiting.items():
            folder = str((self.out / name).absolute())
            futures[client.submit(run_point, words, folder, here, self.threads, pure=False)] = name
        for future in as_completed(futures):
            if future.status == "finished":
                yield futures[future], *future.result()
            else:
                yield futures[future], 1, 0.0, f"{type(future.exception()).__name__}: {future.exception()}"

    def _write(self, done: "pd.DataFrame", points: dict[str, tuple[dict[str, str], list[str]]]) -> None:
        """Write points.csv and, of `evaluate`, all results so far."""
        import pandas as pd

        from semanticnn_core.files import replacing
        from semanticnn_core.runner.points import OUTPUT

        with replacing(self.out / TABLE) as temporary:
            done.to_csv(temporary, index=False)
        if not self.command.startswith("evaluate"):
            return
        parts = []
        for name in done.loc[done["status"] == "ok", "point"]:
            if name in points:
                found = json.loads((self.out / name / OUTPUT).read_text(encoding="utf-8"))
                parts.append(pd.DataFrame(found["results"]).assign(point=name))
        if parts:
            with replacing(self.out / RESULTS) as temporary:
                pd.concat(parts).to_csv(temporary, index=False)


def _safe(value: str) -> str:
    """Return a value as part of a folder's name."""
    return re.sub(r"[^\w.+-]", "_", value)[:60]


def _ours(folder: Path) -> bool:
    try:
        return (folder / TABLE).read_text(encoding="utf-8").startswith("point,")
    except OSError:
        return False
