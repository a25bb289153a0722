"""Writing files: nothing half-written, nothing foreign replaced, one rule for all commands."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from semanticnn_core.files import CHECKOUT, claim, expanded, in_checkout, located, replacing, visible


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("old", encoding="utf-8")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyError
    assert path.read_text(encoding="utf-8") == "old"
    assert [each.name for each in path.parent.iterdir()] == ["table.csv"]


def test_a_folder_can_be_made_and_is_gone_after_a_failure(tmp_path):
    with replacing(tmp_path / "project") as temporary:
        temporary.mkdir()
        (temporary / "main.c").write_text("int main;", encoding="utf-8")
    with pytest.raises(KeyError), replacing(tmp_path / "other") as temporary:
        temporary.mkdir()
        raise KeyError
    assert [str(each.relative_to(tmp_path)) for each in sorted(tmp_path.rglob("*"))] == ["project", "project/main.c"]


def test_writers_with_the_same_process_id_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in containers that share a folder
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        assert first != second
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_of_the_users_other_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "weights.safetensors") as temporary:
            save_file({"weight": torch.zeros(2)}, temporary)
            temporary.chmod(0o600)  # as some versions of safetensors leave it
    finally:
        os.umask(before)
    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def no_space(path: Path) -> None:
    raise OSError(28, "No space left on device")


def no_folder(path: Path) -> None:
    (path / "part").write_text("", encoding="utf-8")


@pytest.mark.parametrize("write", [no_space, no_folder])
def test_an_error_names_the_file_and_no_temporary_one(tmp_path, write):
    with pytest.raises(OSError, match=re.escape(f"'{tmp_path / 'table.csv'}'")) as caught:
        with replacing(tmp_path / "table.csv") as temporary:
            write(temporary)
    assert "unfinished" not in str(caught.value)


def test_an_error_that_names_another_file_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing(tmp_path / "table.csv"):
        (tmp_path / "elsewhere").read_text(encoding="utf-8")


def test_no_temporary_name_shows_where_a_folder_cannot_be_written(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".unfinished-abc"))

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "table.csv"):
        pass
    assert str(caught.value) == f"[Errno 13] Permission denied: '{tmp_path / 'table.csv'}'"


def ours(path: Path) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == "ours"


@pytest.mark.parametrize("files", [None, ("index.html",)])
def test_a_folder_that_is_missing_empty_or_ours_may_be_written(tmp_path, files):
    for folder in (tmp_path / "a/b", tmp_path):
        assert claim(folder, ours, "semanticnn run", files) == folder
        assert not list(tmp_path.iterdir())  # claiming leaves nothing behind
    (tmp_path / "index.html").write_text("ours", encoding="utf-8")
    claim(tmp_path, ours, "semanticnn run", files)


def test_foreign_files_are_not_replaced_and_others_do_not_matter(tmp_path):
    (tmp_path / "thesis.tex").write_text("theirs", encoding="utf-8")
    claim(tmp_path, ours, "semanticnn run", ["index.html"])
    with pytest.raises(ValueError, match=r"thesis.tex was not written by semanticnn export and is not replaced; move"):
        claim(tmp_path, ours, "semanticnn export")  # which replaces the whole folder
    (tmp_path / "index.html").symlink_to("gone")
    with pytest.raises(ValueError, match="index.html was not written by semanticnn run"):
        claim(tmp_path, ours, "semanticnn run", ["index.html"])


@pytest.mark.parametrize("out", ["file", "file/deeper/still"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("", encoding="utf-8")
    message = f"{tmp_path / 'file'} is no folder, so semanticnn run cannot write to {tmp_path / out}; name another"
    with pytest.raises(ValueError, match=re.escape(message)):
        claim(tmp_path / out, ours, "semanticnn run", [])


def test_a_folder_that_cannot_be_written_is_refused():
    place = Path("/proc/nothing/here")
    if not place.parents[1].is_dir():
        pytest.skip("needs a folder where nobody can write")
    with pytest.raises(ValueError, match=f"semanticnn run cannot write to {place}: .*; name another folder"):
        claim(place, ours, "semanticnn run", [])


def test_hidden_names_are_passed_over(tmp_path):
    for name in ("b.py", "a.py", "._a.py", "a.txt"):
        (tmp_path / name).touch()
    assert [each.name for each in visible(tmp_path, "*.py")] == ["a.py", "b.py"]


def test_a_tilde_means_home_everywhere_and_an_unknown_user_is_no_crash(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for find in (expanded, located, in_checkout):
        assert find("~/mine") == tmp_path / "mine"
    assert expanded("~nobody-of-this-name/mine") == Path("~nobody-of-this-name/mine")
    assert located("notebooks") == Path("notebooks") or located("notebooks") == CHECKOUT / "notebooks"


def test_two_processes_take_turns(tmp_path):
    count = tmp_path / "count"
    count.write_text("0")
    code = (
        "import sys; from pathlib import Path; from semanticnn_core.files import alone\n"
        "for _ in range(300):\n"
        "    with alone(sys.argv[1]):\n"
        "        file = Path(sys.argv[1], 'count'); file.write_text(str(int(file.read_text()) + 1))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0] and count.read_text() == "600"
