"""`semanticnn sweep`: the grid, what is refused, restart, failures, and a worker that is killed."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from semanticnn_core.cli import main
from semanticnn_core.commands.sweep import Sweep
from semanticnn_core.runner import points


class Now:
    """A client that runs what is submitted at once."""

    def __init__(self, ended: list) -> None:
        self.ended = ended

    def submit(self, work, *arguments, pure):
        return Done(work(*arguments))


class Done:
    status = "finished"

    def __init__(self, result) -> None:
        self.result = lambda: result


@pytest.fixture
def ran(monkeypatch) -> list[list[str]]:
    """The commands that were run; none really is. Those with the words `--seeds 13` fail."""
    found: list[list[str]] = []

    def run_point(words, folder, place, threads):
        found.append(list(words))
        Path(folder).mkdir(parents=True, exist_ok=True)
        rows = [{"ber": 0.1, "accuracy": len(found) / 10}]
        (Path(folder) / points.OUTPUT).write_text(json.dumps({"results": rows}))
        failed = "--seeds 13" in shlex.join(words)
        return (1, 0.5, "error: thirteen") if failed else (0, 0.5, "")

    @contextmanager
    def client(self):
        yield Now(found)

    monkeypatch.setattr(points, "run_point", run_point)
    monkeypatch.setattr(Sweep, "_client", client)
    monkeypatch.setattr("distributed.as_completed", list)
    return found


@pytest.mark.slow
def test_every_combination_is_a_point_and_results_are_gathered(ran, tmp_path):
    main(["sweep", "evaluate --limit 4", "--grid", "ber=0.01,0.05", "seeds=1,2", "--out", str(tmp_path)])
    assert len(ran) == 4 and ran[1] == "evaluate --limit 4 --ber 0.01 --seeds 2 --json".split()
    table = pd.read_csv(tmp_path / "points.csv")
    assert list(table["point"]) == [f"ber={ber},seeds={seeds}" for ber in ("0.01", "0.05") for seeds in (1, 2)]
    assert (table["status"] == "ok").all() and table["command"][0].startswith("semanticnn evaluate --limit 4")
    results = pd.read_csv(tmp_path / "results.csv")
    assert list(results["accuracy"]) == [0.1, 0.2, 0.3, 0.4] and set(results["point"]) == set(table["point"])


def test_what_is_done_is_not_repeated_and_what_failed_is(ran, tmp_path, capsys):
    arguments = ["sweep", "evaluate --limit 4", "--grid", "seeds=12,13", "--out", str(tmp_path)]
    for runs in (2, 3):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 1 and len(ran) == runs  # the second call runs the failed point alone
        assert "seeds=13 failed: error: thirteen" in capsys.readouterr().err
        assert list(pd.read_csv(tmp_path / "points.csv")["status"]) == ["ok", "failed"]


def test_each_point_writes_to_a_folder_of_its_own(ran, tmp_path):
    main(["sweep", "train --recipe fast", "--grid", "stage1.seed=1,2", "--out", str(tmp_path / "t")])
    main(["sweep", "run 01", "--grid", "ber=0.02", "--out", str(tmp_path / "r")])
    main(["sweep", "train", "--grid", "stage1.ber=0.001+0.1", "--out", str(tmp_path / "b")])
    assert ran[1][-3:] == ["--out", str(tmp_path / "t" / "stage1.seed=2" / "out"), "--resume"]
    assert ran[2][:5] == ["run", "01", "-p", "ber", "0.02"] and "--resume" not in ran[2]
    assert ran[3][1:4] == ["--stage1.ber", "0.001", "0.1"]  # an option of two values


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["doctor", "--grid", "a=1"], "command must begin with one of run,"),
        (["evaluate 'x", "--grid", "ber=1"], "cannot be split into words"),
        (["evaluate", "--grid", "ber"], "grid must be NAME=VALUE,VALUE, got 'ber'"),
        (["evaluate", "--grid", "ber=0.1,"], "grid must be NAME=VALUE,VALUE"),
        (["evaluate", "--grid", "ber=0.1", "ber=0.2"], "grid names ber twice"),
        (["evaluate --ber 0.1", "--grid", "ber=0.2"], "--ber stands in the command already"),
        (["train --out x", "--grid", "recipe=fast"], "--out stands in the command already"),
        (["evaluate", "--grid", "ber=0.1,0.7"], "--ber must be in [0, 0.5], got 0.7"),
        (["evaluate", "--grid", "nothing=1"], "nothing"),
        (["evaluate", "--grid", "ber=0.1", "--workers", "0"], "--workers must be"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_named_before_any_work(ran, tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as end:
        main(["sweep", *arguments, "--out", str(tmp_path / "out")])
    assert end.value.code == 2 and words in capsys.readouterr().err
    assert not ran and not (tmp_path / "out").exists()


def test_a_folder_of_another_sweep_or_of_somebody_else_is_refused(ran, tmp_path, capsys):
    main(["sweep", "evaluate --limit 4", "--grid", "seeds=1", "--out", str(tmp_path)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "points.csv").write_text("mine\n")
    for command, out, words in (
        ("evaluate --limit 5", tmp_path, "holds the point seeds=1 of another command"),
        ("evaluate --limit 4", tmp_path / "other", "was not written by semanticnn sweep"),
    ):
        with pytest.raises(SystemExit):
            main(["sweep", command, "--grid", "seeds=1", "--out", str(out)])
        assert words in capsys.readouterr().err
    assert len(ran) == 1


@pytest.mark.slow
def test_an_absent_scheduler_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("semanticnn_core.commands.sweep.TIMEOUT", 1)
    with pytest.raises(SystemExit) as end:
        main(["sweep", "evaluate", "--scheduler", "tcp://127.0.0.1:9", "--out", str(tmp_path / "out")])
    assert end.value.code == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.slow
def test_a_command_that_fails_leaves_its_last_words(tmp_path):
    status, _, message = points.run_point(["evaluate", "--ber", "0.7"], str(tmp_path), os.getcwd(), 1)
    assert status == 2 and "--ber must be in [0, 0.5], got 0.7" in message
    assert (tmp_path / "log.txt").read_text().strip() == message


@pytest.mark.slow
def test_points_of_a_killed_worker_are_run_again(tmp_path):
    """A scheduler and two workers, as on two machines; one is killed while it works."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
    file = tmp_path / "scheduler.json"
    scheduler = subprocess.Popen([*dask, "--scheduler-file", str(file)], stderr=subprocess.DEVNULL)
    started = [scheduler]
    try:
        wait_for(file.exists)
        address = json.loads(file.read_text())["address"]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        started += [subprocess.Popen([*worker, "--no-nanny"], stderr=subprocess.DEVNULL) for _ in range(2)]
        out = tmp_path / "out"
        words = ["sweep", "evaluate --limit 4", "--grid", "seeds=1,2", "--scheduler", address, "--out", str(out)]
        sweep = subprocess.Popen([sys.executable, "-m", "semanticnn_core", *words], stderr=subprocess.DEVNULL)
        wait_for(lambda: len(list(out.glob("*/log.txt"))) == 2)  # both work
        started[1].send_signal(signal.SIGKILL)
        assert sweep.wait(120) == 0
        table = pd.read_csv(out / "points.csv")
        assert sorted(table["point"]) == ["seeds=1", "seeds=2"] and (table["status"] == "ok").all()
        assert len(pd.read_csv(out / "results.csv")) == (1 + 2) * 5  # rates of the grid
    finally:
        for process in started:
            process.kill()
            process.wait()


def wait_for(happened, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
