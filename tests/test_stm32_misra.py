"""The list of MISRA deviations in the project folder is what cppcheck's addon finds, rule by rule and file by file."""

import re
import shutil
import subprocess

import pytest
from stm32_models import CASES, case, small_project

from semanticnn_core.stm32.build import run_tool
from semanticnn_core.stm32.project import SOURCES

TOOL = "cppcheck"
LIST = (SOURCES / "MISRA.md").read_text(encoding="utf-8")


def missing() -> str:
    """Say why the list cannot be compared here; nothing where it can."""
    if not shutil.which(TOOL):
        return "cppcheck is not installed"
    version = subprocess.run([TOOL, "--version"], capture_output=True, text=True, check=False).stdout.lower().strip()
    return "" if f"{version}'s" in LIST else f"the list is not of {version}, which may find other deviations"


def listed() -> set[tuple[str, str]]:
    """Return rule and file of every deviation in the list; each has a reason."""
    rows = re.findall(r"^\| (\d+\.\d+) \| (.+) \| (.+) \|$", LIST, re.MULTILINE)
    assert len(rows) == LIST.count("\n| ") - 1 and all(why.strip() for _, _, why in rows)
    return {(rule, file) for rule, files, _ in rows for file in re.findall("`(.+?)`", files)}


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.slow
def test_the_list_of_deviations_is_what_the_addon_finds(tmp_path):
    (command,) = re.findall(r"^    (cppcheck .*)$", LIST, re.MULTILINE)
    found = set()
    for name in ("mobilenet", "parity, adaptive"):
        project = small_project(case(CASES[name]), tmp_path / name.replace(", ", "-"))
        done = run_tool((*command.split(), "--quiet", "--template={file} {id}"), project)
        lines = done.stderr.decode().splitlines()
        found |= {(line.split("misra-c2012-")[1], line.split()[0].removeprefix("src/")) for line in lines}
    differ = sorted(found ^ listed())
    assert not differ, f"semanticnn_core/stm32/firmware/MISRA.md and cppcheck differ in {differ}"
