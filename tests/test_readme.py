"""What the README shows works: its Python runs, its commands parse, its links lead somewhere; and it is short."""

import json
import re
import shlex
from pathlib import Path

import pytest

from semanticnn_core import cli
from semanticnn_core.commands import words

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "data/README.md", "data/results/README.md"]
PAGES += [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("data/checkpoints/*/README.md"))]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands_of(text: str) -> list[str]:
    """Return the `semanticnn` commands in a page's blocks of code, without comments."""
    lines = [line for _, block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("semanticnn ")]


COMMANDS = list(
    dict.fromkeys(each for page in PAGES for each in commands_of((ROOT / page).read_text(encoding="utf-8")))
)


def test_it_is_short():
    assert len(README.split()) <= 1000


def test_python_blocks_run():
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert blocks
    for code in blocks:
        names: dict = {}
        exec(compile(code, "README.md", "exec"), names)
    assert names["payload"].data.shape == (5, 288)
    assert names["feature"].shape == (5, *names["model"].feature_shape)
    assert names["outputs"].shape == (5, 10)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_commands_parse(command, monkeypatch):
    called = []
    for kind in words.COMMANDS.values():
        monkeypatch.setattr(kind, "__call__", lambda self: called.append(self))
    cli.main(shlex.split(command)[1:])
    assert len(called) == 1


def test_the_environment_is_activated_before_the_first_command():
    code = "\n".join(block for _, block in BLOCKS)
    assert 0 <= code.find("source .venv/bin/activate\n") < code.find("\nsemanticnn ")


@pytest.mark.slow
def test_evaluate_runs_as_it_stands(capsys):
    (command,) = (each for each in commands_of(README) if each.startswith("semanticnn evaluate"))
    cli.main([*shlex.split(command)[1:], "--limit", "4", "--seeds", "1"])
    rows = json.loads(capsys.readouterr().out)["results"]
    assert len(rows) == 6 and {row["window"] for row in rows} == {"importance"}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not path or ((ROOT / page).parent / path).exists(), target
        assert path or anchor in anchors, target


def test_the_map_names_every_room():
    rows = re.findall(r"^(`.*) \| ", README, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)/`", row)} - {"semanticnn_core"}
    rooms = {path.parent.name for path in ROOT.glob("semanticnn_core/*/__init__.py")}
    assert named == rooms
