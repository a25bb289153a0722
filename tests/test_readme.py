"""What the README shows works: its Python runs, its commands parse, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from semanticnn_core import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip() for _, block in BLOCKS for line in block.splitlines() if line.startswith("semanticnn ")
]


def test_python_blocks_run():
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert blocks
    for code in blocks:
        names: dict = {}
        exec(compile(code, "README.md", "exec"), names)
    assert names["payload"].shape == (5, 192)
    assert names["logits"].shape == (5, 10)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command, monkeypatch):
    called = []
    for kind in cli.COMMANDS.values():
        monkeypatch.setattr(kind, "__call__", lambda self: called.append(self))
    cli.main(shlex.split(command)[1:])
    assert len(called) == 1


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
